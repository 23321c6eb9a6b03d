"""What the image of a machine is called in the library, so that two machines never get the same name."""

from __future__ import annotations

import re

from castcore.errors import Refused
from castcore.image import NAME

from castserver.machines.clients import Client

# With a MAC (12) and a UUID (32) behind it the whole stays within an image's 100 characters.
LONGEST = 54
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._-]+")


def full_name(asked: str, client: Client) -> str:
    """The image's name when somebody ``asked`` for one of ``client``: with its MAC and its UUID.

    "": its model gives the first part. A machine without a UUID is told by its id here. Raises Refused.
    """
    first = asked or _plain(client.registration.machine.product) or "image"
    if not NAME.fullmatch(first) or len(first) > LONGEST:
        raise Refused(
            f"{asked[:60]!r} cannot be an image's name",
            hint=f"use letters, digits, '.', '_' and '-', at most {LONGEST}, a letter or digit first",
        )
    traits = client.traits
    mac = min(traits.macs, default="").replace(":", "")
    uuid = traits.uuid.replace("-", "") or client.id
    return "-".join(filter(None, (first, _plain(mac), uuid)))


def machine_name(client: Client) -> str:
    """What an image says of the machine it was taken from: who it is, and its model."""
    facts, traits = client.registration.machine, client.traits
    model = " ".join(filter(None, (facts.vendor.strip(), facts.product.strip()))) or "PC"
    return ", ".join((client.id, model, traits.uuid or traits.serial or "no UUID"))


def _plain(text: str) -> str:
    return _NOT_ALLOWED.sub("-", text.strip()).strip("-._")[:LONGEST]

"""Who boots what, and what happened: the values that services and the server's policy share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from castcore.boot.message import DhcpReply


class BootMode(StrEnum):
    """What the server does for DHCP on one interface."""

    PROXY = "proxy"
    DHCP = "dhcp"
    OFF = "off"


class BootDecision(StrEnum):
    """What a machine that tries a network boot gets; IMAGE: the boot image that was ordered for it."""

    CLIENT = "client"
    LOCAL = "local"
    IMAGE = "image"
    IGNORE = "ignore"


class BootStage(StrEnum):
    """How far a machine's network boot came, in this order; the last four are not steps of it."""

    DISCOVER = "discover"
    OFFERED = "offered"
    LEASED = "leased"
    TFTP = "tftp"
    HTTP = "http"
    KERNEL = "kernel"
    SKIPPED = "skipped"
    REFUSED = "refused"
    IGNORED = "ignored"
    FAILED = "failed"


@dataclass(frozen=True)
class BootEvent:
    """One thing that happened to the machine ``mac`` ("" when it could not be told which)."""

    mac: str
    stage: BootStage
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What to send (None: nothing) and what to tell the operator (None: nothing worth telling).

    ``probe``: both wait until the address of ``reply`` has proven free.
    """

    reply: DhcpReply | None = None
    event: BootEvent | None = None
    probe: bool = False


class BootPolicy(Protocol):
    """Decides who boots what; called for each network-boot packet, from several threads."""

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """What the machine with ``mac`` (lower case, colons) and SMBIOS ``uuid`` ("" unknown) gets."""

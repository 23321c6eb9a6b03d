"""Signing images with the server's key, and whether an image's signature is one to trust."""

from __future__ import annotations

from pathlib import Path

from castcore.edge.image.imagefile import Image
from castcore.edge.image.imagewriter import write_synced
from castcore.edge.image.store import SIGNATURE_FILE, sync_directory, writing_to
from castcore.errors import DiskFailed, Untrusted
from castcore.image import sign_manifest
from castcore.trust import KEY_SIZE, SigningKey

KEY_FILE = "server.key"


def server_key(state: Path) -> SigningKey | None:
    """The key of the server whose state directory is ``state``; None: no server was started there.

    Raises DiskFailed when it may not be read, Untrusted when it is damaged.
    """
    path = state / KEY_FILE
    try:
        seed = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}", hint="run as root") from None
    if len(seed) != KEY_SIZE:
        raise Untrusted(
            f"{path} holds {len(seed)} bytes, a server key has {KEY_SIZE}",
            hint="restore it from a backup; a new key means that clients no longer know this server",
        )
    return SigningKey(seed)


def sign_image(image: Image, key: SigningKey) -> None:
    """Sign ``image`` with ``key``, in place of any signature it has; durably, complete or not at all.

    Raises NoSpace, DiskFailed.
    """
    final = image.path / SIGNATURE_FILE
    part = final.with_suffix(".part")
    with writing_to(image.path):
        part.unlink(missing_ok=True)
        write_synced(part, sign_manifest(image.manifest_bytes, key))
        part.replace(final)
        sync_directory(image.path)


def require_trusted(image: Image, own: bytes | None) -> None:
    """Return if ``image`` was signed by ``own``, this server's key; without one there is nothing to ask.

    Raises Untrusted.
    """
    if own is None or image.signed_by == own:
        return
    name = image.manifest.name
    if image.signed_by is None:
        what = f"{name} is not signed, and this server signs its images"
    else:
        what = f"{name} was signed by key {image.signed_by.hex()}, not by this server's {own.hex()}"
    raise Untrusted(
        what,
        hint="if you know where it comes from: `fleetcast image sign`, or `fleetcast restore"
        " --allow-unsigned` for this time",
    )

"""The small first initrd by which a server tells the clients it boots whom to trust."""

from __future__ import annotations

from pathlib import PurePosixPath

from castcore import canonical, newc

TRUST_FILE = PurePosixPath("etc/fleetcast/trust.json")


def trust_archive(key: bytes, url: str) -> bytes:
    """An archive that holds the server's Ed25519 public ``key`` and its ``url`` as TRUST_FILE."""
    folders = [newc.directory(str(p)) for p in reversed(TRUST_FILE.parents) if p.name]
    content = canonical.encode({"key": key.hex(), "url": url})
    return b"".join(newc.archive([*folders, newc.regular(str(TRUST_FILE), content)]))

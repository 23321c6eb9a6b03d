"""The small first initrd by which a server tells the clients it boots whom to trust, and which disk
may take an image."""

from __future__ import annotations

from pathlib import PurePosixPath

from castcore import canonical, newc

TRUST_FILE = PurePosixPath("etc/fleetcast/trust.json")
RULES_FILE = TRUST_FILE.with_name("rules.toml")


def trust_archive(key: bytes, url: str, rules: bytes = b"") -> bytes:
    """An archive that holds the server's Ed25519 public ``key`` and its ``url`` as TRUST_FILE.

    ``rules``, when there are any, is the rule file by which clients choose their disk.
    """
    folders = [newc.directory(str(p)) for p in reversed(TRUST_FILE.parents) if p.name]
    content = canonical.encode({"key": key.hex(), "url": url})
    files = [newc.regular(str(TRUST_FILE), content)]
    if rules:
        files.append(newc.regular(str(RULES_FILE), rules))
    return b"".join(newc.archive([*folders, *files]))

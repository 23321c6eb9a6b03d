"""Disks named by an operator: by path, or by what stays (:mod:`castcore.disk.identity`)."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import DiskFacts, Rules, find_disk, is_selector, parse_rules
from castcore.edge.disk import probe
from castcore.errors import NotFound, Refused

RULES_LIMIT = 1 << 20


def named_disk(name: str, *, sector_size: int = 0) -> DiskFacts:
    """The disk ``name`` as it is now; ``sector_size`` (bytes) is for raw files.

    Raises NotFound, Refused (several disks), DiskFailed, MissingProgram (blkid).
    """
    path = find_disk(name, probe.identities()).path if is_selector(name) else name
    return probe.disk(path, sector_size=sector_size)


def read_rules(path: Path) -> Rules:
    """The rules of the file ``path``. Raises NotFound, Refused."""
    try:
        with path.open("rb") as file:
            data = file.read(RULES_LIMIT + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > RULES_LIMIT:
        raise Refused(f"{path} is no rule file: it is larger than {RULES_LIMIT} bytes")
    return rules_of(data, str(path))


def rules_of(data: bytes, name: str) -> Rules:
    """The rules that the bytes of the file ``name`` spell. Raises Refused."""
    try:
        return parse_rules(data.decode(), name)
    except UnicodeDecodeError:
        raise Refused(f"{name}: it is no UTF-8 text") from None

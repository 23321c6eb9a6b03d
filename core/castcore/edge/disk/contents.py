"""What stands in a region of a disk, by the `blkid` program's low-level probing at an offset."""

from __future__ import annotations

import re
from dataclasses import dataclass

from castcore.disk import Extent
from castcore.edge.run import ProgramFailed, run

SECONDS = 30.0
NOTHING_FOUND = 2
AMBIVALENT = 8


@dataclass(frozen=True, slots=True)
class Contents:
    """blkid's words for a region, "" where it has none; ``trouble`` says why it could not tell."""

    fstype: str = ""
    uuid: str = ""
    label: str = ""
    usage: str = ""
    table_uuid: str = ""
    trouble: str = ""


def probe_region(path: str, extent: Extent) -> Contents:
    """What blkid finds in ``extent`` of the disk or file ``path``. Raises MissingProgram.

    Its output for udev is read, for that spells every byte of a label: see blkid(8).
    """
    region = ["-O", str(extent.start), "-S", str(extent.length)]
    command = ["blkid", "-p", "-o", "udev", *region, path]
    try:
        printed = run(command, timeout=SECONDS, ok=(0, NOTHING_FOUND, AMBIVALENT))
    except ProgramFailed as error:
        return Contents(trouble=error.what)
    return parse_udev(printed)


def parse_udev(printed: bytes) -> Contents:
    """The contents that blkid printed with ``-o udev``; bytes that are no UTF-8 become U+FFFD."""
    lines = (line.partition(b"=") for line in printed.splitlines())
    values = {key.decode(errors="replace"): value for key, _, value in lines}
    if b"ID_FS_AMBIVALENT" in printed:
        return Contents(trouble="blkid finds the marks of several file systems")
    return Contents(
        fstype=_decoded(values.get("ID_FS_TYPE", b"")),
        uuid=_decoded(values.get("ID_FS_UUID_ENC", b"")),
        label=_decoded(values.get("ID_FS_LABEL_ENC", b"")),
        usage=_decoded(values.get("ID_FS_USAGE", b"")),
        table_uuid=_decoded(values.get("ID_PART_TABLE_UUID", b"")),
    )


def _decoded(value: bytes) -> str:
    plain = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), value)
    return plain.decode(errors="replace")

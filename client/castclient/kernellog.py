"""The kernel's own log, as it is in memory now."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

PATH = "/dev/kmsg"
_RECORD = 8192  # the longest record that /dev/kmsg gives at once
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def kernel_log(path: str = PATH) -> str:
    """Every line the kernel still has, the oldest first; "" where it cannot be read."""
    return "\n".join(kernel_lines(_records(path)))


def kernel_lines(records: Iterable[bytes]) -> list[str]:
    """Records of /dev/kmsg ("priority,number,microseconds,flags;text") as lines with their seconds."""
    lines = []
    for record in records:
        head, _, rest = record.decode(errors="replace").partition(";")
        text, fields = rest.split("\n", 1)[0], head.split(",")
        if len(fields) >= 3 and fields[2].isdigit():
            said = _ESCAPED.sub(lambda found: _shown(int(found[1], 16)), text)
            lines.append(f"{int(fields[2]) / 1e6:12.6f} {said}")
    return lines


def _shown(code: int) -> str:
    return chr(code) if chr(code).isprintable() and code < 127 else "?"


def _records(path: str) -> list[bytes]:
    records: list[bytes] = []
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while True:
                try:
                    record = os.read(fd, _RECORD)
                except BlockingIOError:
                    break
                except BrokenPipeError:  # the kernel has overwritten the next one: it goes on behind
                    continue
                if not record:
                    break
                records.append(record)
        finally:
            os.close(fd)
    return records

"""An independent reader of newc archives."""

from __future__ import annotations

from castcore.newc import TRAILER

HEADER = 110


def parsed(data: bytes) -> list[tuple[str, int, bytes, list[int]]]:
    """Every member up to the trailer as name, mode, data, all fields."""
    found: list[tuple[str, int, bytes, list[int]]] = []
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name_end = at + HEADER + fields[11]
        assert data[name_end - 1] == 0
        name = data[at + HEADER : name_end - 1].decode()
        if name == TRAILER:
            return found
        start = -(-name_end // 4) * 4
        found.append((name, fields[1], data[start : start + fields[6]], fields))
        at = -(-(start + fields[6]) // 4) * 4

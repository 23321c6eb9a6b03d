"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from castserver.wording import printable


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """``rows``, the first of them headings, as aligned lines."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        (indent + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in cells
    ]

"""How fast a cast went, as a table with a bar for each stretch of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from castserver.cli.texttable import table
from castserver.wording import clock, megabytes

# Lines of the table: neighbouring samples are taken together.
MOST_LINES = 24
BAR = 32
HEADING = ("UNTIL", "IMAGE", "REPAIR", "GOODPUT", "MB/S SENT (# image, + repair)")


def rate_lines(samples: Sequence[dict[str, Any]]) -> list[str]:
    """The API's ``samples`` of a cast (`RateSample`), oldest first."""
    if not samples:
        return ["nothing was sent since the server started"]
    each = -(-len(samples) // MOST_LINES)
    rows = [_together(samples[n : n + each]) for n in range(0, len(samples), each)]
    top = max([1, *(row["fresh"] + row["repair"] for row in rows)])
    shown = [
        (
            clock(row["at"]),
            *(megabytes(row[name]) for name in ("fresh", "repair", "goodput")),
            _bar(row, top),
        )
        for row in rows
    ]
    return table([HEADING, *shown], indent="")


def _together(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Samples of equal length as one."""
    means = {
        name: sum(sample[name] for sample in samples) // len(samples)
        for name in ("fresh", "repair", "goodput")
    }
    return {"at": samples[-1]["at"], **means}


def _bar(row: dict[str, Any], top: int) -> str:
    fresh = int(row["fresh"] * BAR // top)
    both = int((row["fresh"] + row["repair"]) * BAR // top)
    return "#" * fresh + "+" * (both - fresh)

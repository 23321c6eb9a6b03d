"""What tests measured, told at the end of a run of pytest whether they passed or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

MARK = "figure "
# What tests of virtual PCs print of each case.
MARKS = (MARK, "CASE ")


def tell(**values: object) -> None:
    """Have these ``values`` (of JSON) told at the end of the run."""
    print(MARK + json.dumps(values), flush=True)


def told(printed: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each figure among what tests, by name, have printed."""
    for test, text in printed:
        for line in text.splitlines():
            mark = next((mark for mark in MARKS if line.startswith(mark)), "")
            if mark:
                yield f"{test}: {line.removeprefix(mark)}"

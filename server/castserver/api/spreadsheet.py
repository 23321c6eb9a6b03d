"""Tables as CSV files that spreadsheets open without harm (RFC 4180).

UTF-8 with a byte order mark: without it Excel takes the file for the system's code page, and Japanese
names for noise; programs skip the mark ("utf-8-sig").
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain

MEDIA_TYPE = "text/csv; charset=utf-8"
MARK = "\ufeff".encode()
# A spreadsheet takes a cell that begins so for a formula, the full-width forms too; an apostrophe before
# it makes it text. Ones that have the apostrophe already get another, so that reading can take one away.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def guarded(cell: str) -> str:
    """``cell`` as no spreadsheet takes it for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """What ``guarded`` made this cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def moment(seconds: int | None) -> str:
    """A moment (Unix seconds) as spreadsheets and programs read it: ``"2026-11-27 14:05:09"``, UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def csv_lines(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """The file of ``rows`` below ``heading``, a line at a time."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    yield MARK
    for cells in chain([heading], ([guarded(cell) for cell in row] for row in rows)):
        writer.writerow(cells)
        yield text.getvalue().encode(errors="replace")
        text.seek(0)
        text.truncate()

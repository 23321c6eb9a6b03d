"""The register of machines as a CSV file, harmless in spreadsheets, that reads back as it was.

Written as UTF-8 with a byte order mark (else spreadsheets take it for the system's code page), commas,
CRLF. Read as UTF-8 with or without the mark, else as code page 932 (Shift-JIS as Japanese Excel writes
it); the header tells whether commas, semicolons or tabs separate.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from castserver.api.spreadsheet import csv_lines, unguarded
from castserver.machines.machinecard import BETWEEN, Card, key
from castserver.machines.machineentry import Identity

ID, NAME, MACS, UUID, SERIAL = "id", "name", "macs", "uuid", "serial"
GROUPS, TAGS, NOTE = "groups", "tags", "note"
COLUMNS = (ID, NAME, MACS, UUID, SERIAL, GROUPS, TAGS, NOTE)
# A file without any of these says nothing about which machine a line is of.
NAMING = (ID, NAME, MACS, UUID)
DELIMITERS = ",;\t"
MOST_BYTES = 8 << 20
MOST_CELL = 4096
# What code page 932 makes of bytes that no Shift-JIS has: of UTF-16, for one.
_UNASSIGNED = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
_ENCODINGS = ("utf-8-sig", "cp932")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a line (the first is 1) and in a column ("" for the line as a whole)."""

    line: int
    column: str
    what: str

    def __str__(self) -> str:
        where = f", column {self.column}" if self.column else ""
        return f"line {self.line}{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the cells by the names of their columns."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file that was read: in which encoding, with which separator."""

    encoding: str
    delimiter: str
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()


def write(machines: Iterable[tuple[str, Identity, Card]]) -> bytes:
    """The file of ``machines``: id, by what each is known, and its card."""
    rows = (
        (
            name,
            card.name,
            BETWEEN.join(identity.macs),
            identity.uuid,
            identity.serial,
            BETWEEN.join(card.groups),
            BETWEEN.join(card.tags),
            card.note,
        )
        for name, identity, card in machines
    )
    return b"".join(csv_lines(COLUMNS, rows))


def read(data: bytes) -> Sheet:
    """The file ``data``, with every line that cannot be one among its problems."""
    encoding, text = _decoded(data)
    if text is None:
        return _bad("", "it is neither UTF-8 nor Shift-JIS (code page 932): save it as one of them")
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=lambda d: sum(_column(c) in COLUMNS for c in header.split(d)))
    rows: list[Row] = []
    problems: list[Problem] = []
    columns: list[str] | None = None
    line = 1
    try:
        for line, cells in _lines(text, delimiter):
            if columns is None:
                columns = [_column(cell) for cell in cells]
                problems += _header_problems(line, columns)
                if problems:
                    break
            elif any(cell.strip() for cell in cells):
                row, wrong = _row(line, columns, cells)
                rows.append(row)
                problems += wrong
    except csv.Error as error:
        problems.append(Problem(line + 1 if columns else line, "", f"it cannot be read: {error}"))
    if columns is None and not problems:
        problems.append(Problem(1, "", f"there is no header; the columns are {', '.join(COLUMNS)}"))
    return Sheet(encoding, delimiter, tuple(rows), tuple(problems))


def split(cell: str) -> list[str]:
    """The words of a cell that holds several."""
    return [word.strip() for word in cell.split(BETWEEN) if word.strip()]


def _decoded(data: bytes) -> tuple[str, str | None]:
    for encoding in _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "cp932" or not _UNASSIGNED.search(text):
            return encoding.removesuffix("-sig"), text
    return "", None


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The lines with the number each begins at; a quoted cell may hold line breaks. Raises csv.Error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    for cells in reader:
        yield before + 1, cells
        before = reader.line_num


def _column(cell: str) -> str:
    name = key(cell.strip().strip('"'))
    return MACS if name == "mac" else name


def _header_problems(line: int, columns: Sequence[str]) -> list[Problem]:
    known = f"the columns are {', '.join(COLUMNS)}"
    problems = [
        Problem(line, c[:40], f"there is no such column; {known}") for c in columns if c not in COLUMNS
    ]
    twice = sorted({c for c in columns if c in COLUMNS and columns.count(c) > 1})
    problems += [Problem(line, c, "the column is there twice") for c in twice]
    if not problems and not set(NAMING) & set(columns):
        problems.append(Problem(line, "", f"one of {', '.join(NAMING)} is needed: which machine it is"))
    return problems


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> tuple[Row, list[Problem]]:
    # Spreadsheets leave empty cells out at the end, or add some.
    more = [cell for cell in cells[len(columns) :] if cell.strip()]
    values = [unguarded(cell) for cell in cells] + [""] * (len(columns) - len(cells))
    problems = [Problem(line, "", f"{len(cells)} cells, the header has {len(columns)}")] if more else []
    problems += [
        Problem(line, column, f"more than {MOST_CELL} letters")
        for column, cell in zip(columns, values, strict=False)
        if len(cell) > MOST_CELL
    ]
    return Row(line, dict(zip(columns, values, strict=False))), problems


def _bad(encoding: str, what: str) -> Sheet:
    return Sheet(encoding, ",", (), (Problem(1, "", what),))

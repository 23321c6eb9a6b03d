"""The history over the API: a page of it, or all that a question finds as a CSV file."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated

from fastapi import Query
from fastapi.responses import StreamingResponse

from castserver.api.access import Parts, operator_routes
from castserver.api.csvfile import CsvFile
from castserver.api.spreadsheet import csv_lines
from castserver.history.historyviews import (
    HEADING,
    HistoryView,
    Paged,
    Question,
    csv_rows,
    entry_views,
    wanted,
)

FILE = "fleetcast-history.csv"
IN_MEMORY = 4 << 20
PIECE = 1 << 16

routes = operator_routes("history")


@routes.get("/history", summary="What was written when, on which machine, by whom")
def show_history(parts: Parts, question: Annotated[Paged, Query()]) -> HistoryView:
    """Every machine's part in every cast, and every capture; the newest first."""
    chosen = wanted(question, parts.clients)
    entries = parts.history.page(chosen, question.offset, question.limit)
    return HistoryView(
        total=parts.history.count(chosen),
        offset=question.offset,
        entries=entry_views(entries, parts.clients),
    )


@routes.get("/history.csv", summary="The same as a CSV file", response_class=CsvFile)
def export_history(parts: Parts, question: Annotated[Question, Query()]) -> StreamingResponse:
    """All that the question finds, as it is at this moment."""
    rows = csv_rows(parts.history.each(wanted(question, parts.clients)), parts.clients)
    # Whole before it is sent: who reads slowly must not hold the database.
    file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `_pieces` closes it
    file.writelines(csv_lines(HEADING, rows))
    file.seek(0)
    headers = {"Content-Disposition": f'attachment; filename="{FILE}"'}
    return StreamingResponse(_pieces(file), media_type=CsvFile.media_type, headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece

"""The history as a page: filters, a page of entries, and the same as a CSV file."""

from __future__ import annotations

from urllib.parse import urlencode

from castcore.control import API
from fastapi import APIRouter, Request, Response

from castserver.api.access import Parts
from castserver.console.forms import understood
from castserver.console.paging import Pager
from castserver.console.visit import visited
from castserver.history.history import HistoryState, Kind
from castserver.history.historyviews import Question, entry_views, wanted
from castserver.parts import ServerParts

ON_A_PAGE = 50

routes = APIRouter(include_in_schema=False)


@routes.get("/history")
def history(request: Request, parts: Parts) -> Response:
    """What was written when, on which machine, by whom."""
    return visited(request, parts, "history.html", lambda _: _values(request, parts))


def _values(request: Request, parts: ServerParts) -> dict[str, object]:
    question, wrong = understood(Question, request.query_params)
    chosen = wanted(question, parts.clients)
    pager = Pager.of(request.query_params.get("page", ""), parts.history.count(chosen), ON_A_PAGE)
    entries = parts.history.page(chosen, pager.offset, ON_A_PAGE)
    given = question.model_dump(mode="json", exclude_defaults=True)
    return {
        "question": question,
        "wrong": wrong,
        "filtered": bool(given),
        "entries": entry_views(entries, parts.clients),
        "pager": pager,
        "place": "/history?" + "".join(f"{pair}&" for pair in [urlencode(given)] if pair),
        "csv": f"{API}/history.csv?{urlencode(given)}",
        "images": parts.history.images(),
        "states": list(HistoryState),
        "kinds": list(Kind),
    }

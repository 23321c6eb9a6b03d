"""What somebody sees in a browser who asked for what is not there, or cannot be shown."""

from __future__ import annotations

from castcore.control import API
from fastapi import Request, Response

from castserver.api.access import caller_of
from castserver.console import page
from castserver.parts import ServerParts

NOT_FOUND = 404


def read_by_people(request: Request) -> bool:
    """Whether a browser shows the answer as a page: a script asks for no HTML, the API has its own."""
    page_asked = request.method == "GET" and not request.url.path.startswith(f"{API}/")
    return page_asked and "text/html" in request.headers.get("accept", "")


def error_page(request: Request, parts: ServerParts, status: int, what: str, hint: str) -> Response:
    """The page that says so, in the console's design; who is not logged in learns nothing by it."""
    caller = caller_of(request, parts)
    if caller is None:
        return page.to_login()
    missing = request.url.path.split("/")[1] if status == NOT_FOUND else ""
    values = {"name": parts.name, "caller": caller, "missing": missing, "what": what, "hint": hint}
    return page.render(request, "error.html", values | {"lost": status == NOT_FOUND}, status=status)

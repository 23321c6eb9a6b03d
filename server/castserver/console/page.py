"""One page of the console: its template filled, with the headers that every page has."""

from collections.abc import Mapping
from pathlib import Path

from castcore import __version__
from castcore.units import human
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from castserver.casttable import clock
from castserver.console import show
from castserver.moments import utc

HERE = Path(__file__).parent
# Nothing comes from another host, and no script or style but our files.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "human": human,
    "rate": show.rate,
    "mark": show.mark,
    "share": show.share,
    "clock": clock,
    "utc": utc,
    "day": show.day,
}
_templates.globals |= {
    "version": __version__,
    "joined": show.joined,
    "proven": show.proven,
    "receptions": show.receptions,
    "MOST_BOOTS": show.MOST_BOOTS,
}


def render(template: str, values: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """The page that ``template`` makes of ``values``."""
    text = _templates.get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def to_login() -> RedirectResponse:
    """Where those are sent who are not logged in."""
    return RedirectResponse("/login", status_code=303)

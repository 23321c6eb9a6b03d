"""One page of the console: its template filled in the reader's language, with every page's headers."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

from castcore import __version__
from castcore.units import human
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from castserver.casttable import clock
from castserver.console import languages, show
from castserver.console.languages import Language, Words
from castserver.moments import utc

HERE = Path(__file__).parent
# Nothing comes from another host, and no script or style but our files.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    # "no-referrer" would make browsers hide the origin of our own forms too (Fetch standard, 4.5).
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def _templates(language: Language) -> Environment:
    words = Words(language)
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "human": human,
        "rate": show.rate,
        "mark": show.mark,
        "share": show.share,
        "clock": clock,
        "utc": utc,
        "day": show.day,
    }
    made.globals |= {
        "_": words,
        "language": language,
        "languages": list(Language),
        "version": __version__,
        "joined": show.joined,
        "proven": show.proven,
        "receptions": partial(show.receptions, words),
        "moment": partial(show.moment, words),
        "MOST_BOOTS": show.MOST_BOOTS,
    }
    return made


def language_of(request: Request) -> Language:
    """What whoever asks reads."""
    chosen = request.cookies.get(languages.COOKIE, "")
    return languages.choose(chosen, request.headers.get("accept-language", ""))


def render(
    request: Request, template: str, values: Mapping[str, object], *, status: int = 200
) -> HTMLResponse:
    """The page that ``template`` makes of ``values``."""
    text = _templates(language_of(request)).get_template(template).render(values, here=request.url.path)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def to_login() -> RedirectResponse:
    """Where those are sent who are not logged in."""
    return RedirectResponse("/login", status_code=303)

"""One page of the console: its template filled in the reader's language, with every page's headers."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

from castcore import __version__
from castcore.units import human
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from castserver.console import languages, show
from castserver.console.advice import advice
from castserver.console.languages import Language, Words
from castserver.console.room import LOST
from castserver.moments import utc
from castserver.wording import clock, percent

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
        "percent": percent,
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
        "failed": show.failed,
        "about": partial(show.about, words),
        "advice": partial(advice, words),
        "moment": partial(show.moment, words),
        "MOST_BOOTS": show.MOST_BOOTS,
        "MOST_TROUBLE": show.MOST_TROUBLE,
        "LOST": LOST,
    }
    return made


def block(language: Language, template: str) -> Callable[..., str]:
    """Fills ``template``, a part of a page, with the values it is called with."""
    return _template(language, template).render


@cache
def _template(language: Language, template: str) -> Template:
    # Looked up once: to ask the file's date before each of 500 machines takes longer than to show it.
    return _templates(language).get_template(template)


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

"""The reader's language: choosing it, and the words that the pages' scripts need."""

import json
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from castserver.console import languages, page
from castserver.console.languages import Language

# {n} in a text stands for the value called n.
FUNCTION = """function _(english, values) {
  const text = Object.hasOwn(WORDS, english) ? WORDS[english] : english;
  return text.replace(/\\{(\\w+)\\}/g, (place, name) => values && name in values ? values[name] : place);
}
"""

routes = APIRouter(include_in_schema=False)


@routes.get("/words.js")
def words(request: Request) -> Response:
    """The texts of the scripts in the reader's language."""
    texts = dict(languages.catalogue(page.language_of(request)))
    script = f'"use strict";\nconst WORDS = {json.dumps(texts)};\n{FUNCTION}'
    return Response(script, media_type="text/javascript", headers=page.HEADERS)


@routes.get("/language/{language}")
def choose(request: Request, language: Language) -> Response:
    """Remembers the language, and leads back to the page it was chosen on."""
    # The path alone: a page of another host must not be where we send anybody.
    path = urlsplit(request.headers.get("referer", "")).path
    answer = RedirectResponse("/" + path.lstrip("/"), status_code=303)
    answer.set_cookie(
        languages.COOKIE,
        language.value,
        max_age=languages.COOKIE_SECONDS,
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return answer

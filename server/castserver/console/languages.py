"""The console's languages: which one a browser gets, and the words of each (GNU gettext catalogues)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "locale"
COOKIE = "fleetcast-language"
COOKIE_SECONDS = 365 * 86_400


class Language(StrEnum):
    """A language by its tag (RFC 5646)."""

    EN = "en"
    JA = "ja"

    @property
    def own_name(self) -> str:
        """What its speakers call it."""
        return {Language.EN: "English", Language.JA: "日本語"}[self]


_TAGS = frozenset(language.value for language in Language)


def choose(cookie: str, accepted: str) -> Language:
    """The one chosen last (``cookie``), else the best of ``Accept-Language`` (RFC 9110, 12.5.4)."""
    if cookie in _TAGS:
        return Language(cookie)
    weighed = [_weighed(part) for part in accepted[:1000].split(",")]
    for weight, tag in sorted(weighed, key=lambda found: -found[0]):
        if weight > 0 and tag in _TAGS:
            return Language(tag)
    return Language.EN


def _weighed(part: str) -> tuple[float, str]:
    tag, _, parameter = part.strip().partition(";")
    try:
        weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
    except ValueError:
        weight = 0.0
    return weight, tag.strip().partition("-")[0].lower()


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Every text of ours in ``language``; English is what the texts are written in, so it is empty."""
    if language is Language.EN:
        return {}
    with (FOLDER / f"{language}.po").open("rb") as file:
        return {
            str(m.id): str(m.string) for m in read_po(file, locale=language.value) if m.id and m.string
        }


class Words:
    """Texts in one language: ``words("%(n)s left", n=3)``; what has no translation stays English."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = catalogue(language)

    def text(self, english: str) -> str:
        """``english`` in this language, its places not filled."""
        return self._texts.get(english, english)

    def __call__(self, english: str, **values: object) -> str:
        """The same with its places filled."""
        return self.text(english) % values if values else self.text(english)

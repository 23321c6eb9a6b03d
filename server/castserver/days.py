"""Days of UTC as moments in Unix seconds."""

from __future__ import annotations

from calendar import timegm
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

DAY = 86_400


def _spelled(text: str | date | None) -> str | date | None:
    """Refuse what is no ``YYYY-MM-DD``: pydantic takes a number for Unix seconds."""
    if isinstance(text, str):
        date.fromisoformat(text)
    return text


# A day in a question, as RFC 3339 spells it.
Day = Annotated[date, BeforeValidator(_spelled)]


def begin(day: date | None) -> int | None:
    """The first second of ``day``; None: no bound."""
    return None if day is None else timegm(day.timetuple())


def after(day: date | None) -> int | None:
    """The first second after ``day``; None: no bound."""
    return None if day is None else timegm(day.timetuple()) + DAY

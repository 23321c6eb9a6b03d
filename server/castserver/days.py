"""Days of UTC as moments in Unix seconds."""

from __future__ import annotations

from calendar import timegm
from datetime import date

DAY = 86_400


def begin(day: date | None) -> int | None:
    """The first second of ``day``; None: no bound."""
    return None if day is None else timegm(day.timetuple())


def after(day: date | None) -> int | None:
    """The first second after ``day``; None: no bound."""
    return None if day is None else timegm(day.timetuple()) + DAY

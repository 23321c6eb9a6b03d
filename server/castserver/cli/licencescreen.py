"""How licences are shown and named on the command line."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, time, timedelta

from castcore.licence import Licence

from castserver.wording import date


def end_of(text: str) -> int:
    """``YYYY-MM-DD`` as the moment, in Unix seconds, when that day is over (UTC); ``never`` is 0."""
    if text == "never":
        return 0
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, not a moment
        over = datetime.combine(day, time.min, UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2027-12-31") from None
    return int(over.timestamp())


def licence_lines(licence: Licence, now: float) -> list[str]:
    """A licence for people."""
    return [
        f"licence {licence.id}",
        f"  product  {licence.product}",
        f"  count    {licence.count}",
        f"  expires  {date(licence.expires, now)}",
        f"  medium   {licence.medium or 'any'}",
        f"  issuer   {licence.issuer}",
    ]

"""Figures, days and texts as people read them, on a terminal or a page."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """``text`` without what would steer a terminal: labels come from disks we do not know."""
    return "".join(c if c.isprintable() else "?" for c in text)


def megabytes(rate: int) -> str:
    """Bytes a second in MB/s, as ``--rate`` takes them."""
    return f"{rate / 1e6:.1f}"


def percent(share: float) -> str:
    """A share (0..1) of loss: ``"0.12%"``, ``"0"`` for none."""
    return f"{share:.2%}" if share else "0"


def clock(seconds: float | None) -> str:
    """Seconds as ``minutes:seconds``, ``"?"`` while not known."""
    return "?" if seconds is None else f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def date(expires: int, now: float) -> str:
    """The last day that a licence can be used, for people."""
    if not expires:
        return "never"
    day = datetime.fromtimestamp(expires - 1, UTC).strftime("%Y-%m-%d")
    return f"{day} (expired)" if expires <= now else day

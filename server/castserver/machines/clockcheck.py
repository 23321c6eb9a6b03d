"""Whether the server's clock can be right: it is never before what was written by it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

SLACK = 300


def behind(now: float, written: Iterable[int]) -> str:
    """A warning when ``now`` is before one of the times that stand in what was ``written``; else ""."""
    newest = max(written, default=0)
    if newest <= now + SLACK:
        return ""
    return (
        f"the clock is at least {(newest - now) / 3600:.1f} h behind: this server wrote things"
        " later than that. Set it: expiry of licences and tokens and the audit log go by it"
    )

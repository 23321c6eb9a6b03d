"""What cannot be undone is done when the operator has typed yes, the whole word."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from castcore.edge.commandline import Screen
from castcore.errors import Refused


def confirm_erase(targets: Sequence[str], screen: Screen) -> None:
    """Return when the operator agrees that everything on ``targets`` is lost; else raise Refused."""
    named = ", ".join(targets)
    confirm(f"{named} is erased", f"Everything on {named} will be lost.", "written", screen)


def confirm(what: str, warning: str, done: str, screen: Screen) -> None:
    """Return when the operator types yes to ``warning``; else raise Refused.

    The error names ``what`` nobody confirmed, and that nothing was ``done`` ("written").
    """
    if screen.as_json or not sys.stdin.isatty():
        raise Refused(f"nobody is here to confirm that {what}", hint="add --yes")
    screen.say(f"{warning} Type yes to go on:")
    if sys.stdin.readline().strip() != "yes":
        raise Refused(f"not confirmed; nothing was {done}", hint="answer yes, the whole word")

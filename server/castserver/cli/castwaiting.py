"""Waiting at a command line until a cast has ended, with its progress."""

from __future__ import annotations

import time
from typing import Any

from castcore.edge.commandline import Screen
from castcore.errors import FleetcastError, NotFound
from castcore.progress import Progress

from castserver.casts.policy import CastState, PartState
from castserver.cli.operatorclient import Operator

LOOK_SECONDS = 1.0


class CastFailed(FleetcastError):
    """A cast that was waited for ended without a proven disk on every machine."""


def newest(operator: Operator) -> str:
    """The id of the cast that was made last. Raises NotFound."""
    casts = operator.get("casts")
    if not casts:
        raise NotFound("there is no cast", hint="`fleetcast casts create` makes one")
    return str(casts[0]["cast"])


def waited(operator: Operator, name: str, screen: Screen) -> Any:
    """Cast ``name`` once it has ended, every machine of it proven. Raises CastFailed."""
    while not CastState((cast := operator.get("casts", name))["state"]).ended:
        screen.progress(progress(cast))
        time.sleep(LOOK_SECONDS)
    unproven = [p for p in cast["parts"] if p["state"] != PartState.DONE]
    if cast["state"] != CastState.DONE or unproven:
        said = "; ".join(f"{p['label']} {p['state']}: {p['message']}" for p in unproven)
        raise CastFailed(
            f"cast {name} is {cast['state']}: {cast['message']}{'; ' * bool(said)}{said}",
            hint=f"`fleetcast casts show {name}` shows every machine's part",
        )
    return cast


def progress(cast: dict[str, Any]) -> Progress:
    """How far the machines of ``cast`` are together: bytes of what each reported."""
    reports = [part["report"] for part in cast["parts"] if part["report"]]
    proven = sum(part["state"] == PartState.DONE for part in cast["parts"])
    detail = f"{cast['state']}, {proven} of {len(cast['parts'])} machines proven"
    return Progress("cast", sum(r["done"] for r in reports), sum(r["total"] for r in reports), detail)

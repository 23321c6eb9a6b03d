"""A database that was opened, of whichever kind, as its one door needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castcore.errors import FleetcastError
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

# What an engine's calls raise where something is wrong with the database or the way to it.
FAILURES = (DBAPIError, NoConnection, OSError)
COPY_HINT = (
    "`fleetcast database copy` takes everything there first; what was lost comes back from a backup"
)


@dataclass(frozen=True, slots=True)
class OpenedEngine:
    """``name`` is for people; ``failed`` tells them what one of FAILURES is; ``lost`` whether only the
    connection broke, so that a new one may do; ``collation`` sorts texts by their code points.
    """

    engine: Engine
    name: str
    failed: Callable[[Exception], FleetcastError]
    lost: Callable[[Exception], bool]
    collation: str

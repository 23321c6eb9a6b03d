"""Where a person stands in the dialogue, and what was chosen so far. Frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castcore.control import OrderKind
from castcore.disk import DiskFacts, Plan

from castclient.local.facts import Here, ServerHere, StoredHere, Surveyed, WorkNow


class Where(StrEnum):
    """The pages; each value is the page's stable word on serial consoles."""

    HOME = "home"
    DISKS = "disks"
    IMAGES = "images"
    TARGETS = "targets"
    ERASE = "erase"
    SERVERS = "servers"
    SOURCES = "sources"
    NAME = "name"
    CAPTURE = "capture"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


class Goal(StrEnum):
    """What is being done: the word on the home page."""

    RESTORE = "restore"
    TO_MEDIUM = "capture"
    TO_SERVER = "upload"


@dataclass(frozen=True, slots=True)
class State:
    """``where`` and what was chosen; ``problem`` what went wrong before; ``result`` what was done.

    ``targets`` are the disks chosen for the image's so far, ``plan`` what will be done to them;
    ``sources`` the disks to capture, as ``name``, with what was found on them.
    """

    here: Here
    where: Where = Where.HOME
    goal: Goal = Goal.RESTORE
    problem: str = ""
    image: StoredHere | None = None
    targets: tuple[DiskFacts, ...] = ()
    plan: Plan | None = None
    warnings: tuple[str, ...] = ()
    servers: tuple[ServerHere, ...] = ()
    server: ServerHere | None = None
    sources: tuple[DiskFacts, ...] = ()
    name: str = ""
    surveyed: Surveyed | None = None
    work: WorkNow | None = None
    result: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the medium and the disks anew."""


@dataclass(frozen=True, slots=True)
class Search:
    """Bring up the network and look for servers."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Find out what a capture of ``disks`` would take."""

    disks: tuple[DiskFacts, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Write the medium's image ``image`` as ``plan`` says."""

    image: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Capture:
    """Capture ``disks`` as ``name``: to the medium, or to the ``server``."""

    disks: tuple[DiskFacts, ...]
    name: str
    server: ServerHere | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Go on as the usual client."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Restart or switch off."""

    kind: OrderKind


Task = Look | Search | Survey | Restore | Capture | Join | Leave

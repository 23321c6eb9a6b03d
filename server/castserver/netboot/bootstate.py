"""Network booting as values: what was chosen, what is served where, and who else is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from castcore.boot import BootEvent, FoundServer, InterfaceMode, Presence, WantedMode

from castserver.licences.licenceterms import LicenceEvent
from castserver.media.mediastate import MediaNow


@dataclass(frozen=True)
class Choice:
    """What the operator chose for one interface."""

    wanted: WantedMode = WantedMode.AUTO
    own_dhcp: bool = False


@dataclass(frozen=True)
class Setting:
    """What holds on every interface: is PXE deploy on, does a cast run."""

    deploy: bool = True
    casting: bool = False


@dataclass(frozen=True)
class Kept:
    """How network booting stands on one interface; ``problem`` says what keeps it from its mode.

    ``note``: the last thing that happened here which somebody should know.
    """

    interface: str
    address: str
    choice: Choice
    mode: InterfaceMode = InterfaceMode.SILENT
    reason: str = ""
    warning: str = ""
    problem: str = ""
    note: str = ""
    presence: Presence = Presence.UNKNOWN
    servers: tuple[FoundServer, ...] = ()


@dataclass(frozen=True)
class Neighbour:
    """Another server, and the interface of ours that it answered on."""

    name: str
    url: str
    interface: str


class DeployEnd(StrEnum):
    """What turns PXE deploy off by itself; whatever else shall, calls `Booting.end_deploy`.

    CAST_END: a cast has ended and no other waits. CONSOLE_CLOSED: a console was open, and none has been
    for a minute. MEDIUM_REMOVED: the deploy medium in use was pulled out.
    """

    CAST_END = "cast-end"
    CONSOLE_CLOSED = "console-closed"
    MEDIUM_REMOVED = "medium-removed"


@dataclass(frozen=True)
class Deploy:
    """PXE deploy: whether it is on, ``why`` it is off, and what turns it off."""

    on: bool = True
    why: str = ""
    ends: frozenset[DeployEnd] = frozenset({DeployEnd.CAST_END, DeployEnd.MEDIUM_REMOVED})


@dataclass(frozen=True)
class BootingState:
    """Everything of one moment."""

    deploy: Deploy
    interfaces: tuple[Kept, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Listeners:
    """Who hears of boots, of how booting stands, of other Fleetcast servers, of media, of licences."""

    boot: Callable[[BootEvent], None] = lambda _: None
    kept: Callable[[Kept], None] = lambda _: None
    neighbour: Callable[[Neighbour], None] = lambda _: None
    media: Callable[[MediaNow], None] = lambda _: None
    licence: Callable[[LicenceEvent], None] = lambda _: None

"""Words that the server's values have and pages show: named here, so that they are translated."""

from __future__ import annotations

from castcore.boot import BootStage, InterfaceMode
from castcore.cast.states import ClientClass
from castcore.control import AfterCast, ClientState

from castserver.console.room import Phase
from castserver.headup import HeadUp
from castserver.history import HistoryState, Kind
from castserver.imagekeeping import CheckState
from castserver.lagging import Lag
from castserver.licencebook import UseState
from castserver.mediastate import MediaState
from castserver.policy import CastState, PartState
from castserver.roles import Role
from castserver.servetold import GIVEN, OFF, ON, Subject
from castserver.trustviews import DENIED, WAITING
from castserver.views import OFFLINE

# A machine that is away or not let in, values of settings, and what logging in tells.
OTHERS = (
    OFFLINE,
    WAITING,
    DENIED,
    ON,
    OFF,
    GIVEN,
    "That is no user's name and password.",
    "Too many wrong attempts: wait a moment.",
)
ENUMS = (
    AfterCast,
    BootStage,
    CastState,
    CheckState,
    ClientClass,
    ClientState,
    HeadUp,
    HistoryState,
    InterfaceMode,
    Kind,
    Lag,
    MediaState,
    PartState,
    Phase,
    Role,
    Subject,
    UseState,
)


def state_words() -> frozenset[str]:
    """Every one of them."""
    return frozenset((*OTHERS, *(str(word.value) for words in ENUMS for word in words)))

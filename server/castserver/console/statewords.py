"""Words that the server's values have and pages show: named here, so that they are translated."""

from __future__ import annotations

from castcore.boot import BootStage, InterfaceMode
from castcore.cast.states import ClientClass
from castcore.control import AfterCast, ClientState

from castserver.accounts.roles import Role
from castserver.api.headup import HeadUp
from castserver.api.views import OFFLINE
from castserver.casts.lagging import Lag
from castserver.casts.policy import CastState, PartState
from castserver.console.room import Phase
from castserver.history.history import HistoryState, Kind
from castserver.images.imagekeeping import CheckState
from castserver.licences.licencebook import UseState
from castserver.machines.trustviews import DENIED, WAITING
from castserver.media.mediastate import MediaState
from castserver.servetold import GIVEN, OFF, ON, Subject

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

"""How far a receiver is, in the words people read."""

from __future__ import annotations

from castcore.cast.receiver import ReceiverCore
from castcore.cast.states import ReceiverState
from castcore.progress import Progress

_WORDS = {
    ReceiverState.FILLING: "filling",
    ReceiverState.SHEDDING: "slower than the cast",
    ReceiverState.UNICAST: "multicast does not arrive, by unicast",
    ReceiverState.MOVED: "link slower than the cast, by unicast",
    ReceiverState.PARKED: "link slower than the cast, waiting for its end",
    ReceiverState.SILENT: ReceiverState.SILENT.value,
}
_FILLING = (ReceiverState.FILLING, ReceiverState.UNICAST, ReceiverState.MOVED)


def progress_of(core: ReceiverCore, total: int, obstacle: str) -> Progress:
    """What ``core`` has of ``total`` stored bytes; ``obstacle``: what is more to the point, or ""."""
    ledger = core.ledger
    step = "fill" if core.state in _FILLING else "receive"
    done = ledger.kept + ledger.multicast + ledger.unicast + ledger.peers
    awaited = core.awaited if core.state is not ReceiverState.SILENT else ""
    return Progress(step, done, total, awaited or obstacle or _WORDS.get(core.state, ""))

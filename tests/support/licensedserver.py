"""``fleetcast`` as it is, but that its server kills itself (SIGKILL) at a moment it is told.

``python -m tests.support.licensedserver MOMENT[:N] serve ...``: at the N-th time of the moment (a word
of `MOMENTS`; "never" for none).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from castcore.control import ClientState, Report
from castcore.edge.licence.blocks import DirectBlocks
from castcore.edge.licence.ledgerfile import LedgerFile
from castserver.__main__ import main
from castserver.casts.casts import Casts
from castserver.casts.policy import PartState
from castserver.licences.licencebook import LicenceBook

NEVER = "never"
# What is written past the page cache comes in whole blocks.
BLOCK = 4096


@dataclass(frozen=True)
class Moment:
    """A call of ``owner.name``, before or ``after`` it; ``counts`` how much nearer it brings the end.

    ``torn``: in it, when half of the bytes that it writes are on the medium, as when the power goes.
    """

    state: str
    owner: type
    name: str
    after: bool = False
    torn: bool = False
    counts: Callable[..., int] = lambda *_, **__: 1


def _receives(_self: Casts, _client: object, report: Report) -> int:
    return report.state is ClientState.RECEIVING


def _part(wanted: PartState) -> Callable[..., int]:
    return lambda _self, row, *_: row.state == wanted.value


def _uses(_self: LedgerFile, *uses: object) -> int:
    return len(uses)


def _settled(_self: LicenceBook, _ledger: object, *settled: object, gone: object = ()) -> int:
    return len(settled)


_writing = ""


def _while(doing: str) -> Callable[..., int]:
    return lambda *_: _writing == doing


# Half: the first copy of the ledger is new, the second is not. Torn: a copy is neither.
MOMENTS = {
    "join": Moment("join", Casts, "joined"),
    "joined": Moment("join", Casts, "joined", after=True),
    "wanted": Moment("reserve", LicenceBook, "want", after=True),
    "half-reserved": Moment("reserve", DirectBlocks, "write", after=True, counts=_while("reserve")),
    "torn-reserved": Moment("reserve", DirectBlocks, "write", torn=True, counts=_while("reserve")),
    "reserved": Moment("reserve", LedgerFile, "reserve", after=True),
    "casting": Moment("cast", Casts, "hear", counts=_receives),
    "proven": Moment("consume", LicenceBook, "save_part", counts=_part(PartState.DONE)),
    "due": Moment("consume", LicenceBook, "save_part", after=True, counts=_part(PartState.DONE)),
    "half-consumed": Moment("consume", DirectBlocks, "write", after=True, counts=_while("consume")),
    "torn-consumed": Moment("consume", DirectBlocks, "write", torn=True, counts=_while("consume")),
    "consumed": Moment("consume", LedgerFile, "consume", after=True, counts=_uses),
    "settled": Moment("consume", LicenceBook, "remember", after=True, counts=_settled),
}


def _watch_writes() -> None:
    """Know what a write of the ledger is for."""
    for name in ("reserve", "consume"):
        real = getattr(LedgerFile, name)

        def call(*args: Any, _real: Any = real, _name: str = name, **named: Any) -> Any:
            global _writing  # noqa: PLW0603 - one server to a process
            _writing = _name
            try:
                return _real(*args, **named)
            finally:
                _writing = ""

        setattr(LedgerFile, name, call)


def _die_at(moment: Moment, times: int) -> None:
    real = getattr(moment.owner, moment.name)
    seen = 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal seen
        was, seen = seen, seen + moment.counts(*args, **named)
        now = was < times <= seen
        if now and moment.torn:
            blocks, offset, data = args
            real(blocks, offset, data[: len(data) // 2 // BLOCK * BLOCK])
        if now and not moment.after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*args, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(moment.owner, moment.name, call)


def run(moment: str, words: list[str]) -> int:
    """Serve; return the exit code."""
    name, _, times = moment.partition(":")
    _watch_writes()
    if name != NEVER:
        _die_at(MOMENTS[name], int(times or "1"))
    sys.argv[1:] = words
    return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))

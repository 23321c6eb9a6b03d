"""A server killed at any step of a licensed cast: each licence is consumed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from castcore.control import ClientState, Report
from castcore.edge.licence.blocks import DirectBlocks
from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.licence import MOST_RECENT
from castserver.casts.wayin import WayIn
from castserver.database.database import Database
from castserver.database.tables import CastRow, LedgerRow, MachineRow
from castserver.licences.licencebook import LicenceUse, UseState
from castserver.licences.licensing import Licensing

from tests.support import databases
from tests.support.licences import TERMS, FolderMedium
from tests.support.licensedlab import counts, create, licensed_lab, machines, parts
from tests.support.rows import row
from tests.support.serverlab import ROOT, FakeClient, ServerLab

WAY = WayIn()
# Steps of a server, in the order in which it takes them.
METHODS: dict[str, tuple[type, str]] = {
    "reserve": (LedgerFile, "reserve"),
    "consume": (LedgerFile, "consume"),
    "release": (LedgerFile, "release"),
    "save": (Database, "save"),
}


class Killed(BaseException):
    """The server is dead from here on."""


class Reaper:
    """Kills the server at the ``at``-th call (from 0) of what it wraps; ``calls`` counts them."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def wrap(self, real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        """Before the call, or ``after`` it."""

        def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at + 1 and not after:
                raise Killed
            answer = real(*args, **named)
            if self.calls == self.at + 1:
                raise Killed
            return answer

        return call

    def tear(self, kept: int) -> Callable[..., Any]:
        """A write of the ledger that is cut when ``kept`` bytes of it are on the medium."""
        real = DirectBlocks.write

        def write(blocks: DirectBlocks, offset: int, data: bytes) -> None:
            self.calls += 1
            if self.calls == self.at + 1:
                if kept:
                    real(blocks, offset, data[:kept])
                raise Killed
            real(blocks, offset, data)

        return write


# Puts a reaper where it reaps.
Apply = Callable[[pytest.MonkeyPatch, Reaper], None]


def through(folder: Path, reaper: Reaper, patch: pytest.MonkeyPatch, apply: Apply) -> bool:
    """A cast to three machines, the last of which fails; whether the server was killed in it.

    The server comes back with the medium as it is, and all must end as if nothing had been.
    """
    medium = FolderMedium(folder / "school")
    medium.issue(3)
    lab = licensed_lab(medium)
    clients = machines(lab, 3)
    cast = create(lab, start_clients=3)
    killed = False
    with patch.context() as context:
        apply(context, reaper)
        try:
            play(lab, cast, clients)
        except Killed:
            killed = True
    lab.casts.licensing.close()
    lab.restart()
    for client in clients:
        if parts(lab, cast).get(client.id, {}).get("state") not in ("done", "failed"):
            client.register()
            assert client.claim(cast)["granted"]
            assert client.join(cast).is_success
            end(lab, client, cast, well=client is not clients[-1])
    assert counts(lab) == (1, 0, 2)
    states = [part["state"] for part in parts(lab, cast).values()]
    assert sorted(states) == ["done", "done", "failed"]
    lab.casts.licensing.close()
    assert medium.ledger().repairs == ()
    return killed


def play(lab: ServerLab, cast: str, clients: list[FakeClient]) -> None:
    """All of a cast, without HTTP between: what kills the server must end the call."""
    for client in clients:
        lab.casts.claim(lab.casts.get(cast), client.id)
        admission = lab.casts.find(cast, WAY)
        assert admission is not None
        assert admission.current_sender().descriptor
        admission.join(client.id, b"")
    for client in clients:
        end(lab, client, cast, well=client is not clients[-1])
        lab.casts.tick()


def end(lab: ServerLab, client: FakeClient, cast: str, *, well: bool) -> None:
    """The machine proves its disk, or fails."""
    report = Report(ClientState.DONE, cast, root=ROOT) if well else Report(ClientState.FAILED, cast)
    lab.casts.hear(lab.clients.get(client.id), report)


def at_every_call(folder: Path, patch: pytest.MonkeyPatch, apply: Apply) -> int:
    """Casts that are killed at the first call, the second ... until one is not; how many were."""
    for at in count():
        if not through(folder / str(at), Reaper(at), patch, apply):
            return at
    raise AssertionError


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("method", "least"), [("reserve", 3), ("consume", 2), ("release", 1), ("save", 12)]
)
def test_a_server_killed_between_any_two_steps_consumes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, least: int, *, after: bool
) -> None:
    owner, name = METHODS[method]

    def apply(patch: pytest.MonkeyPatch, reaper: Reaper) -> None:
        patch.setattr(owner, name, reaper.wrap(getattr(owner, name), after=after))

    assert at_every_call(tmp_path, monkeypatch, apply) >= least


@pytest.mark.parametrize("kept", [0, 8192])
def test_power_cut_in_any_write_of_the_ledger_consumes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The medium and the server lose their power together, before a write, or in the middle of it."""

    def apply(patch: pytest.MonkeyPatch, reaper: Reaper) -> None:
        patch.setattr(DirectBlocks, "write", reaper.tear(kept))

    # Four of the import, two of each of three reservations, two consumptions, one release.
    assert at_every_call(tmp_path, monkeypatch, apply) == 4 + 6 + 4 + 2


def test_uses_consumed_before_a_kill_are_not_pushed_out_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More are due than a ledger remembers, and those that are consumed already come last."""
    late, early = MOST_RECENT - 28, MOST_RECENT
    medium, database = FolderMedium(tmp_path / "school"), databases.fresh()
    medium.issue(late + 2 * early)
    licensing, ledger = Licensing(database, medium, TERMS), medium.ledger().id
    book = licensing._book
    uses = [LicenceUse("c", f"m{n:03}", ledger, "lab", UseState.RESERVED) for n in range(late + early)]
    database.save(
        row(CastRow, id="c"),
        row(LedgerRow, id=ledger),
        *(row(MachineRow, id=use.machine) for use in uses),
    )
    for use in uses:
        book.want(use)
    for use in uses[late:]:
        book.want(replace(use, state=UseState.DUE))
    with monkeypatch.context() as patch:
        patch.setattr(LedgerFile, "consume", Reaper(0).wrap(LedgerFile.consume, after=True))
        with pytest.raises(Killed):
            licensing.settle()
    licensing.close()
    for use in uses[:late]:
        book.want(replace(use, state=UseState.DUE))
    again = Licensing(database, medium, TERMS)
    for _ in range(2):
        again.settle()
    again.close()
    assert len(again._book.uses(UseState.CONSUMED)) == late + early
    assert (medium.balance().consumed, medium.balance().reserved) == (late + early, 0)

"""A cast that is held: no data leaves, nobody gives up, nothing is lost; and a cap that changes."""

from __future__ import annotations

import math

from castcore.cast.blocks import BlockTable
from castcore.cast.outputs import Control, ParityBurst, SourceBurst, Wait
from castcore.cast.sender import SenderCore
from castcore.cast.states import ReceiverState, SenderState
from castcore.edge.cast.progress import progress_of
from castcore.trust import SigningKey

from tests.support.castimage import Image
from tests.support.castsim import STEP, Link, Sim

CAP = 2e6
LONG = 12.0  # longer than anybody may be silent


def sender(cap: float = 100e6) -> SenderCore:
    return SenderCore(BlockTable.build([1 << 20] * 200), 7, SigningKey.generate(), bytes(32), cap)


def sent(core: SenderCore, begun: float, seconds: float) -> tuple[int, int]:
    """Data bursts and control datagrams that leave in a stretch of time."""
    data, control, now = 0, 0, begun
    while now < begun + seconds:
        out = core.next_tx(now)
        data += isinstance(out, SourceBurst | ParityBurst)
        control += isinstance(out, Control)
        now += out.seconds if isinstance(out, Wait) else 1e-6
    return data, control


def test_a_held_sender_sends_beacons_alone() -> None:
    core = sender()
    core.start(0.0)
    assert sent(core, 0.0, 0.5)[0] > 0
    core.pause(0.5, paused=True)
    data, beacons = sent(core, 0.5, 2.0)
    assert data == 0
    assert 18 <= beacons <= 22
    core.pause(2.5, paused=False)
    assert sent(core, 2.5, 0.5)[0] > 0


def test_a_client_says_that_the_cast_was_not_started_yet_or_is_paused() -> None:
    sim, said = Sim(Image([400_000] * 6), cap=CAP), []
    client = sim.client(Link())

    def note(_: float) -> None:
        said.append(progress_of(client.core, 2_400_000, "").detail)

    sim.at(1.0, note)
    sim.at(2.3, lambda now: sim.sender.pause(now, paused=True))
    sim.at(3.0, note)
    sim.at(3.5, lambda now: sim.sender.pause(now, paused=False))
    sim.at(4.0, note)
    sim.run(60, start=2.0)
    assert said == ["waiting for its start", "paused at the server", ""]


def test_clients_wait_as_long_as_it_takes_and_lose_nothing() -> None:
    sim, held, goes_on = Sim(Image([400_000] * 6), cap=CAP), 0.3, 0.3 + LONG
    clients = [sim.client(Link(loss=0.02)), sim.client(Link(loss=0.2))]
    had: list[list[int]] = []

    def note(_: float) -> None:
        assert not any(c.core.state is ReceiverState.SILENT for c in clients)
        had.append([c.core.ledger.done_chunks for c in clients])

    sim.at(held, lambda now: sim.sender.pause(now, paused=True))
    sim.at(held + 1.0, note)
    sim.at(goes_on - STEP, note)
    sim.at(goes_on, lambda now: sim.sender.pause(now, paused=False))
    sim.run(goes_on + 60)
    assert [c.core.state for c in clients] == [ReceiverState.DONE] * 2
    assert had[0] == had[1], "somebody got something in a pause"
    assert max(had[0]) < 6


def test_a_held_sender_wants_nothing_and_one_held_by_its_cap_wants_all() -> None:
    core = sender()
    assert core.wish() == 0.0
    core.start(0.0)
    assert core.wish() == math.inf
    core.pause(0.0, paused=True)
    assert core.wish() == 0.0


def test_a_cap_holds_at_once_and_a_sender_that_has_not_begun_begins_by_it() -> None:
    core = sender()
    core.limit(1e6)
    core.start(0.0)
    assert core.state is SenderState.PASS
    sent(core, 0.0, 1.0)
    assert core.status().rate == 1_000_000
    core.limit(0.5e6)
    sent(core, 1.0, 0.2)
    assert core.status().rate == 500_000


def test_a_sender_that_began_with_hardly_any_share_makes_way_as_soon_as_it_has_one() -> None:
    core = sender()
    core.limit(0.1e6)
    core.start(0.0)
    core.limit(1.5e6)
    sent(core, 0.0, 0.2)
    assert core.status().rate == 1_500_000

"""Casts to clients that hold a part of the image already: only what somebody lacks travels."""

from __future__ import annotations

import random

from castcore.cast.selecting import SELECTIONS_MAX
from castcore.cast.states import ReceiverState, SenderState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.castimage import Image
from tests.support.castsim import Link, Sim

MINUTE = 60.0
CHUNKS = 200
SIZE = 60_000


def image(seed: int = 1) -> Image:
    return Image([SIZE] * CHUNKS, seed)


def all_but(*missing: int, chunks: int = CHUNKS) -> list[int]:
    return [c for c in range(chunks) if c not in missing]


def sent(sim: Sim) -> float:
    """Symbol bytes sent, in images."""
    return sim.sender.status().sent / sim.image.table.stored_bytes


def assert_exact(sim: Sim) -> None:
    wanted = {i: c for i, c in enumerate(sim.image.chunks) if c}
    for client in sim.clients:
        assert client.core.state is ReceiverState.DONE
        assert client.disk == wanted
        ledger = client.core.ledger
        assert ledger.kept + ledger.multicast + ledger.unicast == sim.image.table.stored_bytes


def test_four_that_lack_the_same_two_percent_get_only_that() -> None:
    sim = Sim(image())
    for _ in range(4):
        sim.client(held=all_but(3, 50, 120, 199))
    sim.run(MINUTE)
    assert_exact(sim)
    assert sent(sim) <= 0.03
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)


def test_four_that_lack_different_chunks_get_the_union() -> None:
    sim = Sim(image())
    for number in range(4):
        sim.client(held=all_but(*(7 + 4 * i + 40 * number for i in range(4))))
    sim.run(MINUTE)
    assert_exact(sim)
    assert sent(sim) <= 0.09
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)


def test_who_lacks_nothing_is_done_without_a_byte() -> None:
    sim = Sim(image())
    for _ in range(2):
        sim.client(held=all_but())
    sim.run(MINUTE, start=0.2, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert_exact(sim)
    assert sim.sender.state is SenderState.CLOSED
    assert sent(sim) == 0


def test_a_fresh_machine_that_comes_late_to_an_update_is_served_by_multicast() -> None:
    sim = Sim(Image([250_000] * 120), cap=10e6)
    for _ in range(3):
        sim.client(held=all_but(*range(40, 90), chunks=120))
    late = sim.client(joins_at=0.6)
    sim.run(MINUTE)
    assert_exact(sim)
    assert late.core.ledger.unicast == 0
    assert sent(sim) <= 1.3, "what the late one had heard was sent again"


def test_a_machine_that_comes_back_to_a_whole_cast_does_not_drag_blocks_along() -> None:
    sim = Sim(image(), cap=20e6)
    sim.client()
    back = sim.client(joins_at=0.55, held=all_but(*range(0, 60, 15)))
    sim.run(MINUTE)
    assert_exact(sim)
    assert back.core.ledger.unicast == 0
    assert sent(sim) <= 1.08


def test_a_restarted_server_sends_only_what_is_still_missing() -> None:
    sim = Sim(image(), cap=5e6)
    for _ in range(3):
        sim.client(Link(loss=0.01))
    sim.at(1.5, lambda _: setattr(sim, "up", False))
    sim.at(12.0, sim.restart)
    sim.run(MINUTE)
    assert_exact(sim)
    missing = 1 - min(c.core.ledger.kept for c in sim.clients) / sim.image.table.stored_bytes
    assert missing == 1, "these clients joined with nothing"
    assert 0.2 < sent(sim) < 0.8, "the restarted server sent what everybody had"
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)


def test_who_claims_what_it_has_not_harms_only_itself() -> None:
    sim = Sim(image())
    honest = [sim.client(held=all_but(1, 2, 3)) for _ in range(3)]
    liar = sim.client(held=all_but(1, 2, 3, 100, 150), claims=[100, 150])
    sim.run(MINUTE)
    assert_exact(sim)
    assert all(c.core.ledger.unicast == 0 and c.finished_at < 3 for c in honest)
    assert liar.core.ledger.unicast == 2 * SIZE
    assert sent(sim) <= 0.03


def test_a_client_that_cannot_learn_the_selection_is_not_waited_for() -> None:
    sim = Sim(image())
    others = [sim.client(held=all_but(*range(40))) for _ in range(2)]
    mute = sim.client(held=all_but(*range(40)))
    mute.selects = False
    sim.run(MINUTE)
    assert_exact(sim)
    assert all(c.finished_at < 4 and c.core.ledger.unicast == 0 for c in others)
    assert mute.core.ledger.multicast == 0


links = st.builds(
    Link,
    loss=st.sampled_from([0.0, 0.01, 0.1]),
    feedback_loss=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.1]),
    jitter=st.sampled_from([0.0, 0.004]),
    corrupt=st.sampled_from([0.0, 0.02]),
)
clients = st.tuples(
    links,
    st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    st.sampled_from([0.0, 0.0, 0.2]),
    st.sampled_from([0.0, 0.1, 0.4, 2.0]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(several=st.lists(clients, min_size=1, max_size=4), seed=st.integers(0, 1000), gone=st.booleans())
def test_whatever_clients_hold_and_claim_all_end_exact(
    several: list[tuple[Link, float, float, float]], seed: int, *, gone: bool
) -> None:
    sizes = random.Random(seed)
    lengths = [sizes.choice([0, sizes.randrange(1, 200_000)]) for _ in range(60)]
    sim = Sim(Image(lengths, seed), seed=seed, cap=10e6)
    for link, share, lies, joins_at in several:
        held = [c for c in range(60) if sizes.random() < share]
        claims = [c for c in range(60) if sizes.random() < lies]
        sim.client(link, held=held, claims=claims, joins_at=joins_at)
    if gone:
        sim.at(0.3, lambda _: setattr(sim, "up", False))
        sim.at(9.0, sim.restart)
    sim.run(10 * MINUTE, start=0.05)
    assert_exact(sim)
    assert sim.sender.selector.number <= min(3 * len(several) + 3, SELECTIONS_MAX)

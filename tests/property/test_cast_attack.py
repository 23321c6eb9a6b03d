"""Casts with an attacker in the network: never a wrong byte, every client ends, at a bounded price."""

from __future__ import annotations

import pytest
from castcore.cast.protection import Protection
from castcore.cast.states import ReceiverState, SenderState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.test_cast_network import small_image
from tests.support.castattack import HostileSim, Trick
from tests.support.castimage import Image
from tests.support.castsim import Link, Sim

MINUTE = 60.0
LENGTHS = [190_000] * 100


def assert_unharmed(sim: Sim) -> None:
    """Every byte that was written is the image's, all of them were, and the cast has ended."""
    wanted = {i: c for i, c in enumerate(sim.image.chunks) if c}
    for client in sim.clients:
        assert client.core.state is ReceiverState.DONE
        assert client.disk == wanted
        assert client.most_buffers <= client.capacity
    assert sim.sender.state is SenderState.CLOSED


def attacked(
    image: Image, *tricks: Trick, seed: int, loss: float = 0.0, every: int = 3, cap: float = 100e6
) -> HostileSim:
    sim = HostileSim(image, frozenset(tricks), seed=seed, every=every, cap=cap)
    for _ in range(3):
        sim.client(Link(loss=loss))
    sim.run(2 * MINUTE, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert_unharmed(sim)
    return sim


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tricks=st.frozensets(st.sampled_from(Trick), min_size=1),
    seed=st.integers(0, 1000),
    loss=st.sampled_from([0.0, 0.01, 0.05]),
)
def test_whatever_is_forged_and_replayed_every_client_ends_with_the_exact_bytes(
    tricks: frozenset[Trick], seed: int, loss: float
) -> None:
    attacked(small_image(seed, 16), *tricks, seed=seed, loss=loss)


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_poisoned_symbol_in_every_block_costs_digests_and_parity_not_downloads(loss: float) -> None:
    image = Image(LENGTHS, 3)
    sim = attacked(image, Trick.POISON, Trick.POISON_PARITY, seed=3, loss=loss, every=20)
    for client in sim.clients:
        ledger = client.core.ledger
        assert ledger.refused >= len(image.table), "hardly anything was poisoned: this proves nothing"
        assert client.asked <= len(image.table), "a block was asked about twice"
        assert ledger.unicast == 0
    assert sim.sender.status().sent <= 1.15 * image.table.stored_bytes


def test_forged_numbers_do_not_slow_the_cast() -> None:
    image, ends = Image(LENGTHS, 4), []
    for tricks in ((), (Trick.FAR_NUMBERS,)):
        sim = attacked(image, *tricks, seed=4, every=10, cap=20e6)
        ends.append(max(c.finished_at for c in sim.clients))
        assert all(c.core.ledger.unicast == 0 for c in sim.clients)
    assert ends[1] <= 1.1 * ends[0]


def test_forged_blocks_do_not_take_the_buffers() -> None:
    image = Image([400_000] * 300, 5)
    sim = HostileSim(image, frozenset({Trick.FAR_BLOCKS}), seed=5, every=4)
    client = sim.client(buffers=8)
    sim.run(2 * MINUTE, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert_unharmed(sim)
    assert client.core.ledger.unicast == 0
    assert sim.sender.status().sent <= 1.5 * image.table.stored_bytes


def test_replays_keep_no_dead_client_alive() -> None:
    sim = HostileSim(small_image(6), frozenset({Trick.REPLAY}), seed=6, cap=20e6, until=1e9)
    alive, dying = sim.client(), sim.client()
    sim.at(0.2, lambda _: setattr(dying, "alive", False))

    def replay(now: float) -> None:
        sim._replay(None)  # type: ignore[arg-type]
        sim.at(now + 0.05, replay)

    sim.at(0.3, replay)
    sim.run(MINUTE, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert alive.core.state is ReceiverState.DONE
    assert sim.sender.state is SenderState.CLOSED
    assert sim.now < 15


def test_with_a_mac_nothing_that_an_outsider_forges_gets_in() -> None:
    image = Image(LENGTHS[:40], 7)
    sim = HostileSim(image, frozenset(Trick) - {Trick.REPLAY}, seed=7, every=6)
    sim.protection = Protection(tag_key=b"t" * 32)
    for _ in range(3):
        sim.client(Link(loss=0.01))
    sim.run(2 * MINUTE, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert_unharmed(sim)
    for client in sim.clients:
        assert client.core.ledger.refused == 0
        assert client.core.ledger.unicast == 0
    assert sim.sender.status().sent <= 1.1 * image.table.stored_bytes

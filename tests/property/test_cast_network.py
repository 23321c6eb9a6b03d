"""Both ends of a cast over a bad network in virtual time: whoever hears anything ends with the image."""

from __future__ import annotations

import random

import pytest
from castcore.cast.constants import JUMBO_SYMBOL_SIZE, SYMBOL_SIZE
from castcore.cast.states import ReceiverState, SenderState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.castimage import Image
from tests.support.castsim import Link, Sim, SimClient

MINUTE = 60.0
bad_links = st.builds(
    Link,
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.2]),
    feedback_loss=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.1]),
    jitter=st.sampled_from([0.0, 0.004]),
    corrupt=st.sampled_from([0.0, 0.02]),
)


def small_image(seed: int, chunks: int = 24, symbol_size: int = SYMBOL_SIZE) -> Image:
    sizes = random.Random(seed)
    lengths = [sizes.choice([0, sizes.randrange(1, 400_000)]) for _ in range(chunks)]
    return Image(lengths, seed, symbol_size)


def assert_has_everything(sim: Sim) -> None:
    wanted = {i: c for i, c in enumerate(sim.image.chunks) if c}
    for client in sim.clients:
        if client.alive:
            assert client.core.state is ReceiverState.DONE
            assert client.disk == wanted
            ledger = client.core.ledger
            assert ledger.multicast + ledger.unicast == sim.image.table.stored_bytes


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(links=st.lists(bad_links, min_size=1, max_size=3), seed=st.integers(0, 1000), late=st.booleans())
def test_every_client_ends_with_the_exact_bytes(links: list[Link], seed: int, *, late: bool) -> None:
    sim = Sim(small_image(seed), seed=seed)
    for number, link in enumerate(links):
        sim.client(link, joins_at=0.15 if late and number else 0.0)
    sim.run(10 * MINUTE)
    assert_has_everything(sim)


def test_loss_of_one_percent_costs_few_bytes() -> None:
    sim = Sim(small_image(3, 60), seed=3)
    for _ in range(4):
        sim.client(Link(loss=0.01))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)
    assert sim.sender.status().sent <= 1.04 * sim.image.table.stored_bytes
    assert sim.source_bytes <= 1.01 * sim.image.table.stored_bytes, "source symbols were sent again"


def test_jumbo_datagrams_are_repaired_as_well() -> None:
    sim = Sim(small_image(3, 60, JUMBO_SYMBOL_SIZE), seed=3)
    for _ in range(4):
        sim.client(Link(loss=0.01))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)
    assert all(c.core.ledger.repaired > 0 for c in sim.clients)
    assert sim.sender.status().sent <= 1.05 * sim.image.table.stored_bytes


def test_a_client_whose_switch_carries_no_jumbo_frames_is_served_by_unicast() -> None:
    """Beacons are as long as data: it hears none, and does not wait for what cannot come."""
    sim = Sim(small_image(3, 60, JUMBO_SYMBOL_SIZE), seed=3)
    well, behind = sim.client(), sim.client(Link(largest=1472))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert well.core.ledger.unicast == 0
    assert behind.core.ledger.multicast == 0
    assert well.finished_at < 3, "it waited for the other one"


def test_what_a_slow_machine_has_yet_to_repair_is_not_fetched() -> None:
    sim = Sim(small_image(3, 60), seed=3)
    client = sim.client(Link(loss=0.01, repair_seconds=4.0))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert client.core.ledger.repaired > 0
    assert client.core.ledger.unicast == 0


def test_a_late_client_takes_the_stream_and_then_the_head() -> None:
    sim = Sim(small_image(5, 80), seed=5, cap=20e6)
    early, late = sim.client(), sim.client(joins_at=0.35)
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert late.core.ledger.unicast == 0
    assert late.finished_at > early.finished_at
    assert sim.sender.status().sent < 1.9 * sim.image.table.stored_bytes


def test_a_dead_client_holds_nobody_up() -> None:
    sim = Sim(small_image(6), seed=6, cap=20e6)
    alive, dying = sim.client(), sim.client()
    sim.at(0.2, lambda _: setattr(dying, "alive", False))
    sim.run(MINUTE, stop=lambda: sim.sender.state is SenderState.CLOSED)
    assert_has_everything(sim)
    assert alive.finished_at < 2.0
    assert sim.sender.state is SenderState.CLOSED
    assert sim.now < 15, "the cast outlived its dead client by more than GONE"


def test_two_buffers_are_never_exceeded_and_shed_blocks_come_in_laps() -> None:
    sim = Sim(small_image(7, 250), seed=7)
    client = sim.client(Link(loss=0.02), buffers=2)
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert client.most_buffers <= 2
    assert sim.sender.status().lap > 1
    assert client.core.ledger.multicast >= 0.95 * sim.image.table.stored_bytes


def test_a_disk_slower_than_many_laps_is_served_by_them() -> None:
    sim = Sim(small_image(13, 250), seed=13)
    slow = sim.client(Link(write_seconds=0.4), buffers=3)
    sim.client(Link(loss=0.05), buffers=2)
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert sim.sender.status().lap > 4
    assert slow.core.ledger.unicast == 0


def test_a_network_that_carries_beacons_alone_ends_in_unicast() -> None:
    sim = Sim(small_image(14), seed=14)
    good, deaf = sim.client(), sim.client(Link(data=False))
    sim.run(2 * MINUTE)
    assert_has_everything(sim)
    assert deaf.core.ledger.multicast == 0
    assert good.finished_at < 2.0
    assert sim.sender.status().sent < 5 * sim.image.table.stored_bytes


def test_forged_symbols_never_reach_the_disk() -> None:
    sim = Sim(small_image(8), seed=8)
    client = sim.client(Link(corrupt=0.2))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert client.core.ledger.refused > 0, "nothing was forged: the test proves nothing"
    assert client.core.ledger.unicast == 0, "one symbol in a block cost a download"


def test_slow_links_pull_the_rate_down_and_still_hear_most_by_multicast() -> None:
    sim = Sim(small_image(9, 150), seed=9)
    for _ in range(3):
        sim.client(Link(rate=8e6))
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)
    assert sim.sender.status().sent <= 2.5 * sim.image.table.stored_bytes


def test_a_sender_that_goes_and_comes_back_is_waited_for() -> None:
    sim = Sim(small_image(10, 60), seed=10, cap=10e6)
    client = sim.client()
    sim.at(0.5, lambda _: setattr(sim, "up", False))
    sim.at(20.0, lambda _: setattr(sim, "up", True))
    waited: list[ReceiverState] = []
    sim.at(15.0, lambda _: waited.append(client.core.state))
    sim.run(MINUTE)
    assert waited == [ReceiverState.SILENT]
    assert_has_everything(sim)


def test_without_feedback_the_holes_are_fetched() -> None:
    sim = Sim(small_image(11), seed=11)
    client = sim.client(Link(loss=0.05, feedback_loss=1.0))
    sim.run(MINUTE)
    assert_has_everything(sim)
    assert client.core.ledger.unicast > 0


def slow_of_four(rate: float, *, snooping: bool = True) -> tuple[Sim, float, SimClient]:
    """A cast to three clients and a fourth behind a link of ``rate``: when the three were done."""
    sim = Sim(small_image(12, 450), seed=12, cap=12e6)
    others = [sim.client() for _ in range(3)]
    slow = sim.client(Link(rate=rate, snooping=snooping))
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    return sim, max(c.finished_at for c in others), slow


def test_one_client_behind_a_slow_link_of_four_holds_nobody_up_and_fills_its_link() -> None:
    _, plain, _ = slow_of_four(float("inf"))
    sim, others, slow = slow_of_four(3e6)
    assert others <= 1.05 * plain
    own = sim.image.table.stored_bytes / 3e6
    assert own > 2 * plain, "its link is not slow: the test proves nothing"
    assert slow.moves == 1
    assert slow.finished_at <= 1.15 * own + 1.0


def test_a_client_whose_port_stays_flooded_waits_for_the_end_of_the_pass() -> None:
    _, plain, _ = slow_of_four(float("inf"))
    sim, others, slow = slow_of_four(3e6, snooping=False)
    assert others <= 1.05 * plain
    assert slow.finished_at <= plain + 1.15 * sim.image.table.stored_bytes / 3e6


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.75])
def test_one_of_two_does_not_hold_the_other_back(share: float) -> None:
    """Also where slow start meets a link that it overfills by little."""
    sim = Sim(small_image(14, 400), seed=14, cap=12e6)
    fast, slow = sim.client(), sim.client(Link(rate=share * 12e6))
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert fast.finished_at <= 1.2 * sim.image.table.stored_bytes / 12e6
    # At the worst it gets nothing whole before the pass has ended.
    assert slow.finished_at <= 4.0 + 1.25 * sim.image.table.stored_bytes / (share * 12e6)


def test_two_slow_clients_of_four_do_not_slow_the_others() -> None:
    sim = Sim(small_image(13, 400), seed=13, cap=12e6)
    fast = [sim.client() for _ in range(2)]
    slow = [sim.client(Link(rate=3e6)) for _ in range(2)]
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert max(c.finished_at for c in fast) <= 1.2 * sim.image.table.stored_bytes / 12e6
    assert [c.moves for c in fast + slow] == [0, 0, 1, 1]


def test_a_slow_machine_with_a_long_queue_is_followed_and_not_moved() -> None:
    sim = Sim(small_image(13, 300), seed=13, cap=24e6)
    fast, slow = [sim.client() for _ in range(2)], sim.client(Link(rate=4e6, queue=1.5))
    sim.run(5 * MINUTE)
    assert_has_everything(sim)
    assert [c.moves for c in (*fast, slow)] == [0, 0, 0]
    assert all(c.core.ledger.unicast == 0 for c in sim.clients)

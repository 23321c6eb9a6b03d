"""Leaping clocks, cut feedback, torn networks: everybody ends exact, nobody is waited for, nothing
grows without bound. All in virtual time, from seeds.
"""

from __future__ import annotations

import random

import pytest
from castcore.cast.states import ReceiverState, SenderState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.castchaos import Watch, leap, storm, trouble
from tests.support.castimage import Image
from tests.support.castsim import Link, Sim

MINUTE = 60.0


def image(seed: int, chunks: int = 60) -> Image:
    sizes = random.Random(seed)
    return Image([sizes.choice([0, sizes.randrange(1, 400_000)]) for _ in range(chunks)], seed)


def everybody_has_everything(sim: Sim) -> None:
    wanted = {i: c for i, c in enumerate(sim.image.chunks) if c}
    for client in sim.clients:
        assert client.core.state is ReceiverState.DONE, (client.name, client.core.state)
        assert client.disk == wanted


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), clients=st.integers(1, 3), incidents=st.integers(1, 8))
def test_whatever_happens_everybody_ends_exact_and_the_sender_goes_on(
    seed: int, clients: int, incidents: int
) -> None:
    sim = Sim(image(seed), seed=seed, cap=8e6)
    source = random.Random(seed)
    for _ in range(clients):
        link = Link(loss=source.choice([0.0, 0.01, 0.05]), duplicate=source.choice([0.0, 0.05]))
        sim.client(link, buffers=source.choice([2, 64]))
    storm(sim, source, 3.0, incidents)
    watch = Watch(sim)
    sim.run(10 * MINUTE)
    everybody_has_everything(sim)
    assert watch.idle == []


@pytest.mark.parametrize("seconds", [0.5, 4.0, 12.0, 3600.0])
def test_a_client_that_slept_goes_on(seconds: float) -> None:
    sim = Sim(image(1), seed=1, cap=8e6)
    sleeper, other = sim.client(Link(loss=0.01)), sim.client()
    leap(sim, sleeper, 0.6, seconds)
    watch = Watch(sim)
    sim.run(MINUTE)
    everybody_has_everything(sim)
    assert watch.idle == []
    assert other.finished_at < 3.0


@pytest.mark.parametrize("seconds", [0.5, 4.0, 12.0, 3600.0])
def test_a_sender_that_slept_goes_on_with_everybody(seconds: float) -> None:
    sim = Sim(image(2), seed=2, cap=8e6)
    clients = [sim.client(Link(loss=0.01)) for _ in range(3)]
    leap(sim, None, 0.6, seconds)
    sim.run(MINUTE)
    everybody_has_everything(sim)
    assert all(c.core.ledger.unicast == 0 for c in clients)


def test_a_sender_that_slept_at_the_very_end_still_serves_who_is_not_done() -> None:
    sim = Sim(image(3), seed=3, cap=8e6)
    sim.client(Link(loss=0.02))
    sim.client()
    tail: list[float] = []

    def watch(now: float) -> None:
        if sim.sender.state is SenderState.TAIL and not tail:
            tail.append(now)
            leap(sim, None, now, 30.0)
        sim.at(now + 0.01, watch)

    sim.at(0.0, watch)
    sim.run(MINUTE)
    assert tail
    everybody_has_everything(sim)


@pytest.mark.parametrize("cut", [0.5, 3.0, 15.0])
def test_cut_feedback_costs_time_only(cut: float) -> None:
    sim = Sim(image(4), seed=4, cap=8e6)
    mute, other = sim.client(Link(loss=0.03)), sim.client(Link(loss=0.01))
    trouble(sim, mute, 0.2, cut, Link(loss=0.03, feedback_loss=1.0))
    watch = Watch(sim)
    sim.run(5 * MINUTE)
    everybody_has_everything(sim)
    assert watch.idle == []
    assert other.finished_at < 3.0


def test_order_and_number_of_datagrams_do_not_matter() -> None:
    sim = Sim(image(5), seed=5, cap=8e6)
    sim.client(Link(jitter=0.3, duplicate=0.5))
    sim.client(Link(jitter=0.05, duplicate=0.2, loss=0.02, feedback_loss=0.2))
    Watch(sim)
    sim.run(5 * MINUTE)
    everybody_has_everything(sim)


def test_the_sender_goes_on_though_nobody_ever_answers() -> None:
    sim = Sim(image(6), seed=6, cap=8e6)
    for _ in range(3):
        sim.client(Link(feedback_loss=1.0))
    watch = Watch(sim)
    sim.run(MINUTE)
    everybody_has_everything(sim)
    assert watch.checks > 0
    assert watch.idle == []

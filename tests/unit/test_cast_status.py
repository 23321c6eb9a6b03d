"""How a cast stands: speeds, times left, and the one JSON form of it all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus, Meter, group_time_left, time_left

from tests.support.castimage import Image
from tests.support.castsim import Link, Sim

CLIENT = ClientStatus("pc1", ClientClass.OK, 50, 0.5, 10.0, 3, 6, 960, 30, 10, 2, done=False)


def test_a_meter_tells_what_a_count_gains_a_second() -> None:
    meter = Meter()
    assert meter.rate(0.0) == 0
    for tenth in range(100):
        meter.note(tenth / 10, tenth * 7)
    assert meter.rate(9.9) == pytest.approx(70, rel=0.02)


def test_a_meter_forgets_and_who_falls_silent_slows_down() -> None:
    meter = Meter()
    for second in range(20):
        meter.note(float(second), second * (1 if second < 10 else 10))
    assert meter.rate(19.0) == pytest.approx(10, rel=0.25)
    assert 0 < meter.rate(100.0) < 1.5


def test_waiting_for_the_start_is_no_slowness() -> None:
    meter = Meter()
    for second in range(60):
        meter.note(float(second), 0)
    meter.note(60.0, 100)
    assert meter.rate(60.0) == pytest.approx(100)


def test_a_count_that_begins_anew_is_measured_anew() -> None:
    meter = Meter()
    meter.note(0.0, 1000)
    meter.note(1.0, 2000)
    meter.note(2.0, 0)
    meter.note(3.0, 10)
    assert meter.rate(3.0) == pytest.approx(10)


def test_time_left() -> None:
    assert time_left(0, 0) == 0
    assert time_left(100, 0) is None
    assert time_left(100, 50) == 2


def test_the_cast_takes_as_long_as_its_slowest_living_client() -> None:
    gone = replace(CLIENT, kind=ClientClass.GONE, eta=None)
    done = replace(CLIENT, kind=ClientClass.DONE, eta=0.0)
    assert group_time_left([CLIENT, replace(CLIENT, eta=30.0), gone, done]) == 30
    assert group_time_left([CLIENT, replace(CLIENT, eta=None)]) is None
    assert group_time_left([gone, done]) == 0


def test_json_names_every_loss_and_the_time_left() -> None:
    status = CastStatus(SenderState.PASS, 100, 1000, 10, 1, 3, (CLIENT,), stored=1000, eta=10.0)
    value = json.loads(json.dumps(status.to_json()))
    assert value["eta"] == 10.0
    assert value["stored"] == 1000
    (client,) = value["clients"]
    assert (client["class"], client["rate"], client["have"], client["eta"]) == ("ok", 50, 0.5, 10.0)
    assert (client["net_loss"], client["host_loss"], client["shed_blocks"]) == (0.03, 0.01, 2)


def test_a_running_cast_tells_rates_losses_and_times() -> None:
    sim = Sim(Image([400_000] * 100), seed=2, cap=10e6)
    sim.client()
    sim.client(Link(loss=0.05))
    taken: list[CastStatus] = []
    sim.at(2.0, lambda _: taken.append(sim.sender.status()))
    sim.run(60.0)
    (status,) = taken
    clean, lossy = status.clients
    assert status.stored == 40_000_000
    assert status.eta is not None
    assert 1.0 < status.eta < 8.0
    for client in status.clients:
        assert client.rate == pytest.approx(10e6, rel=0.4)
        assert 0.1 <= client.have <= 0.6
    assert clean.net_lost == 0
    assert lossy.net_loss == pytest.approx(0.05, abs=0.02)
    assert [(c.have, c.eta, c.rate) for c in sim.sender.status().clients] == [(1.0, 0.0, 0)] * 2

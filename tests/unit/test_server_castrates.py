from __future__ import annotations

import pytest
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus
from castserver.casts.castrates import (
    MOST_CASTS,
    MOST_SAMPLES,
    CastRates,
    RateHistory,
    RateSample,
    thinned,
)
from castserver.console.chart import BOTTOM, HEIGHT, LEFT, MOST_LINES, TOP, WIDTH, chart


def status(sent: int, repair: int = 0, *rates: int) -> CastStatus:
    clients = tuple(
        ClientStatus(f"m{n}", ClientClass.OK, rate, 0.5, 8.0, 3, 6, 900, 0, 0, 0, done=False)
        for n, rate in enumerate(rates)
    )
    return CastStatus(SenderState.PASS, 0, sent, repair, 1, 0, clients)


def test_samples_tell_what_was_sent_repaired_and_gained() -> None:
    history = RateHistory()
    history.note(10.0, status(0))
    history.note(11.0, status(1000, 100, 300, 500))
    history.note(13.0, status(2000, 300, 100))
    assert history.samples == (RateSample(1.0, 900, 100, 400), RateSample(3.0, 400, 100, 100))


def test_a_fresh_sender_begins_anew_without_a_leap() -> None:
    history = RateHistory()
    for now, sent in ((0.0, 0), (1.0, 5000), (2.0, 100), (3.0, 1100)):
        history.note(now, status(sent))
    assert [sample.fresh for sample in history.samples] == [5000, 1000]
    assert history.samples[-1].at == 3.0


def test_a_long_cast_keeps_its_whole_length_in_few_samples() -> None:
    history = RateHistory()
    for now in range(20_000):
        history.note(float(now), status(now * 1000, now * 100))
    assert len(history.samples) < MOST_SAMPLES
    assert history.samples[0].at <= 2 * history.step
    assert history.samples[-1].at >= 20_000 - 2 * history.step
    assert {(s.fresh, s.repair) for s in history.samples} == {(900, 100)}


def test_thinning_takes_the_middle_of_two() -> None:
    samples = tuple(RateSample(float(n), n * 10, n, 2 * n) for n in range(1, 6))
    assert thinned(samples) == (
        RateSample(2.0, 15, 1, 3),
        RateSample(4.0, 35, 3, 7),
        RateSample(5.0, 50, 5, 10),
    )


def test_the_latest_casts_are_remembered() -> None:
    rates, clock = CastRates(lambda: clock[0]), [0.0]
    for cast in range(MOST_CASTS + 1):
        rates.note([(f"c{cast}", status(0))])
        clock[0] += 1
        rates.note([(f"c{cast}", status(1000))])
    assert rates.of("c0") == ()
    assert [sample.fresh for sample in rates.of(f"c{MOST_CASTS}")] == [1000]
    assert rates.of("never") == ()


def test_a_chart_takes_two_samples() -> None:
    assert chart([]) is None
    assert chart([RateSample(1.0, 1, 1, 1)]) is None


@pytest.mark.parametrize("top", [0, 1, 999, 50_000, 3_000_000, 117_000_000, 1_250_000_000, 99 * 10**9])
@pytest.mark.parametrize("seconds", [1, 37, 900, 40_000])
def test_a_chart_stays_in_its_frame(top: int, seconds: int) -> None:
    picture = chart(
        [RateSample(float(n * seconds), top * n // 4, top // 50, top // 2) for n in range(1, 5)]
    )
    assert picture is not None
    for line in (picture.fresh, picture.repair, picture.goodput):
        points = [tuple(map(float, point.split(","))) for point in line.split()]
        assert all(LEFT <= x <= WIDTH and TOP <= y <= HEIGHT - BOTTOM for x, y in points)
    assert 2 <= len(picture.rates) <= MOST_LINES + 2
    assert picture.rates[0].value == 0
    assert picture.rates[-1].value >= top
    assert 1 <= len(picture.times) <= 8
    assert all(LEFT <= line.at <= WIDTH for line in picture.times)

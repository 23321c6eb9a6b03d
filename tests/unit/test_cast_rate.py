"""The rate of a group: slow start, loss, the medium's own loss, clients that fall behind."""

from __future__ import annotations

from castcore.cast.ratecontrol import RateControl, Sample

CAP = 100e6


def steady(control: RateControl, now: float, *samples: Sample) -> bool:
    return control.update(now, samples, control.rate, len(samples))


def test_slow_start_doubles_with_each_word_of_clean_air_and_not_without() -> None:
    control = RateControl(cap=1000e6)
    start = control.rate
    assert not control.update(0.02, [], start, 4), "nobody has said a word"
    assert not control.update(0.04, [Sample(0, 0)], start, 4), "one of four has"
    for step in range(5):
        steady(control, 0.1 + step * 0.1, Sample(0, 0), Sample(0, 0))
    assert control.rate == 1000e6


def test_one_stumble_does_not_end_slow_start_a_second_one_does() -> None:
    control = RateControl(cap=1000e6)
    start = control.rate
    assert steady(control, 0.1, Sample(0.4, 0))
    assert control.rate < 0.7 * start
    for step in range(4):
        steady(control, 0.2 + step * 0.1, Sample(0, 0))
    assert control.rate > 4 * start
    assert steady(control, 0.6, Sample(0.4, 0))
    after = control.rate
    steady(control, 1.2, Sample(0, 0))
    assert control.rate < 1.3 * after, "it doubles still"


def test_overload_is_left_quickly_and_clean_air_used_again() -> None:
    control = RateControl(cap=CAP)
    control.rate = CAP
    assert steady(control, 10.0, Sample(0.7, 0.0))
    assert control.rate < 30e6
    for step in range(200):
        steady(control, 11 + step * 0.25, Sample(0, 0))
    assert control.rate == CAP


def test_loss_that_does_not_answer_to_the_rate_is_borne() -> None:
    control = RateControl(cap=CAP)
    for step in range(200):
        steady(control, step * 0.25, Sample(0.05, 0.0))
    assert control.rate >= 0.95 * CAP


def test_one_percent_of_the_mediums_own_loss_is_borne_too() -> None:
    control = RateControl(cap=CAP)
    for step in range(40):
        steady(control, step * 0.25, Sample(0.01, 0.0, 5000))
    assert control.rate >= 0.95 * CAP


def test_a_queue_that_overflows_settles_below_one_percent_of_loss() -> None:
    control, lost, sent = RateControl(cap=CAP), 0.0, 0.0
    for step in range(400):
        over = max(control.rate - 40e6, 0) / control.rate
        if step > 100:
            lost, sent = lost + over * control.rate, sent + control.rate
        steady(control, step * 0.25, Sample(over, 0.0))
    assert lost < 0.01 * sent
    assert sent / 299 > 0.85 * 40e6


def test_a_minority_with_full_buffers_does_not_count_the_median_does() -> None:
    control = RateControl(cap=CAP)
    control.rate = 10e6
    steady(control, 1.0, Sample(0, 0), Sample(0, 0), Sample(0, 0.5))
    before = control.rate
    assert before >= 10e6
    assert steady(control, 2.0, Sample(0, 0), Sample(0, 0.3), Sample(0, 0.5))
    assert control.rate < 0.7 * before


def test_one_bad_cable_of_four_does_not_count() -> None:
    control = RateControl(cap=CAP)
    before = control.rate
    steady(control, 1.0, Sample(0.3, 0), Sample(0, 0), Sample(0, 0), Sample(0, 0))
    assert control.rate >= before


def test_clients_that_fall_behind_are_followed_before_they_lose_anything() -> None:
    control, behind = RateControl(cap=1000e6), 0.0
    most = 0.0
    for step in range(400):
        now = step * 0.1
        behind = max(behind + (control.rate - 30e6) * 0.1, 0.0)
        steady(control, now, Sample(0, 0, behind=behind, drain=min(30e6, control.rate)))
        if now > 10:
            most = max(most, behind)
            assert 20e6 < control.rate < 40e6
    assert most < 16e6


def test_rate_that_was_not_used_is_not_what_was_too_much() -> None:
    control = RateControl(cap=1000e6)
    control.rate = 800e6
    control.update(1.0, [Sample(0.03, 0)], 100e6, 1)
    assert control.rate < 0.85 * 800e6 / 1.9


def test_the_rate_does_not_grow_while_it_is_not_what_limits() -> None:
    control = RateControl(cap=1000e6)
    before = control.rate
    assert not control.update(1.0, [Sample(0, 0)], 0.4 * before, 1, limits=False)
    assert control.update(2.0, [Sample(0, 0)], 0.4 * before, 1, limits=True)

from __future__ import annotations

from castserver import seldom
from castserver.seldom import Seldom

from tests.support.serverlab import FakeClock


def test_of_each_subject_once_in_a_while() -> None:
    clock = FakeClock()
    some = Seldom(60.0, clock)
    assert [some.due("a"), some.due("a"), some.due("b")] == [True, False, True]
    clock.now += 61
    assert [some.due("a"), some.due("a")] == [True, False]


def test_who_invents_subjects_fills_no_memory() -> None:
    some = Seldom(60.0, FakeClock())
    assert all(some.due(str(number)) for number in range(seldom.MOST_SUBJECTS + 5))
    assert len(some._said) == seldom.MOST_SUBJECTS
    assert some.due("0"), "the oldest was forgotten"

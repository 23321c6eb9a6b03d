"""The unicast budget: the group's stream goes first, and every client gets its turn."""

from __future__ import annotations

import pytest
from castcore.cast.unicastbudget import WAIT_MAX, WAITING_MAX, UnicastBudget, unicast_speed
from castcore.errors import Busy

MB = 1_000_000
GIGABIT = 118e6


def test_the_stream_to_the_group_keeps_four_fifths_of_the_link() -> None:
    assert unicast_speed(GIGABIT, GIGABIT, busy=True) == pytest.approx(0.2 * GIGABIT)
    assert unicast_speed(GIGABIT, 0.3 * GIGABIT, busy=True) == pytest.approx(0.65 * GIGABIT)
    assert unicast_speed(GIGABIT, GIGABIT, busy=False) == GIGABIT


def test_requests_leave_at_the_budget_s_speed() -> None:
    budget, now = UnicastBudget(), 100.0
    for number in range(200):
        now += budget.turn(now, f"pc{number % 4}", MB, 20e6)
    assert now - 100.0 == pytest.approx(200 * MB / 20e6, rel=0.02)


def test_what_was_not_used_is_not_saved_up() -> None:
    budget = UnicastBudget()
    budget.turn(0.0, "pc", MB, 10e6)
    waits = [budget.turn(1000.0, "pc", MB, 10e6) for _ in range(3)]
    assert waits == pytest.approx([0.0, 0.0, 0.1])


def test_one_client_cannot_take_the_others_turns() -> None:
    budget = UnicastBudget()
    # Two leave at once after a pause, the others wait.
    for _ in range(2 + WAITING_MAX):
        budget.turn(0.0, "greedy", MB, 10e6)
    with pytest.raises(Busy):
        budget.turn(0.0, "greedy", MB, 10e6)
    assert budget.turn(0.0, "modest", MB, 10e6) == pytest.approx(0.1 * (WAITING_MAX + 1))


def test_nobody_waits_longer_than_a_connection_is_worth() -> None:
    budget = UnicastBudget()
    waits = [budget.turn(0.0, f"pc{number}", MB, 10e6) for number in range(102)]
    assert max(waits) == pytest.approx(WAIT_MAX)
    with pytest.raises(Busy):
        budget.turn(0.0, "pc", MB, 10e6)
    assert budget.turn(WAIT_MAX, "pc", MB, 10e6) <= 0.2


def test_clients_that_went_are_not_remembered() -> None:
    budget = UnicastBudget()
    for number in range(90):
        budget.turn(0.0, f"pc{number}", MB, 10e6)
    budget.turn(60.0, "pc", MB, 10e6)
    assert len(budget._turns) <= 1

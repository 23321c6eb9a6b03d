"""Who may be which machine: whatever happens, nobody takes a machine over from one that is here."""

from __future__ import annotations

import pytest
from castcore.control import Standing
from castserver.machines.machinetrust import (
    ANSWER_SECONDS,
    HOLDS_SECONDS,
    MOST_RIVALS,
    Approval,
    Claim,
    MachineTrust,
    claimed,
    standing,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

KEYS = ("aa", "bb", "cc")
TIMES = st.floats(0, 200)
TRUSTS = st.builds(
    MachineTrust,
    approval=st.sampled_from(Approval),
    key=st.sampled_from(("", *KEYS)),
    heard=TIMES,
    asked=TIMES | st.just(float("-inf")),
    left=st.booleans(),
    denied_keys=st.lists(st.sampled_from(KEYS), max_size=2).map(tuple),
)


@given(TRUSTS, st.sampled_from(KEYS), TIMES, st.booleans())
def test_only_the_holder_and_its_heir_are_let_in(
    trust: MachineTrust, key: str, now: float, approving: bool
) -> None:
    how = standing(trust, key, now, approving=approving)
    if how is Standing.ADMITTED:
        assert key == trust.key or not trust.held(now)
        assert key not in trust.denied_keys
        assert trust.approval is not Approval.DENIED
        assert trust.approval is Approval.APPROVED or not approving
    if how is Standing.WAITING:
        assert approving


@given(TRUSTS, TIMES)
def test_silence_ends_every_hold(trust: MachineTrust, now: float) -> None:
    silent = max(trust.heard, trust.asked, now) + HOLDS_SECONDS + 0.001
    assert not trust.held(silent)


def test_who_does_not_answer_holds_no_longer() -> None:
    trust = MachineTrust(key="aa", heard=100.0, asked=101.0)
    assert trust.held(101.0 + ANSWER_SECONDS)
    assert not trust.held(101.1 + ANSWER_SECONDS)
    trust.heard = 105.0  # it has answered
    assert trust.held(101.1 + ANSWER_SECONDS)


@pytest.mark.parametrize("how", list(Standing)[:4])
def test_every_standing_is_reached(how: Standing) -> None:
    trust = MachineTrust(key="aa", heard=1.0)
    asks = {
        Standing.ADMITTED: lambda: standing(trust, "aa", 2.0, approving=False),
        Standing.WAITING: lambda: standing(trust, "aa", 2.0, approving=True),
        Standing.RIVAL: lambda: standing(trust, "bb", 2.0, approving=False),
        Standing.DENIED: lambda: standing(
            MachineTrust(approval=Approval.DENIED), "bb", 2.0, approving=False
        ),
    }
    assert asks[how]() is how


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 100)), max_size=60))
def test_rivals_are_bounded_and_each_counts_once(comings: list[tuple[int, float]]) -> None:
    trust, now = MachineTrust(key="holder"), 0.0
    for number, pause in comings:
        now += pause
        trust.rivals = claimed(trust, Claim(f"{number:02x}", "10.0.0.1", int(now), now))
        keys = [claim.key for claim in trust.rivals]
        assert len(keys) == len(set(keys)) <= MOST_RIVALS
        assert keys[-1] == f"{number:02x}"
        assert f"{number:02x}" not in [c.key for c in without(trust.rivals, f"{number:02x}")]

from __future__ import annotations

import pytest
from castserver.machines.clockcheck import SLACK, behind


@pytest.mark.parametrize("written", [[], [0], [1000], [1000 + SLACK, 5]])
def test_a_clock_that_can_be_right_is_not_spoken_of(written: list[int]) -> None:
    assert behind(1000.0, written) == ""


def test_a_clock_that_went_back_is_said_with_how_far() -> None:
    assert "2.0 h behind" in behind(1000.0, [5, 1000 + 7200])

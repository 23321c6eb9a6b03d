"""Several casts share each interface's rate: the arithmetic, and who is told what when."""

from __future__ import annotations

import math

import pytest
from castserver.casts.rateshares import Wish, shares
from hypothesis import given
from hypothesis import strategies as st

from tests.support.serverlab import FakeClient, ServerLab

RATES = st.floats(0, 1e10)
WISHES = st.lists(
    st.builds(Wish, RATES | st.just(math.inf), st.floats(1e5, 1e10) | st.just(math.inf)), max_size=8
)
CLOSE = 1.0  # a byte a second


@given(RATES, WISHES)
def test_nothing_is_given_twice_and_nothing_kept_back(capacity: float, wishes: list[Wish]) -> None:
    given_out = shares(capacity, wishes)
    assert sum(given_out) <= capacity + CLOSE
    assert all(0 <= got <= w.most + CLOSE for got, w in zip(given_out, wishes, strict=True))
    most = min(capacity, sum(w.most for w in wishes))
    assert sum(given_out) >= most - CLOSE, "somebody could have had more"


@given(RATES, WISHES)
def test_everybody_gets_what_he_can_use_up_to_an_equal_share(
    capacity: float, wishes: list[Wish]
) -> None:
    given_out = shares(capacity, wishes)
    for got, wish in zip(given_out, wishes, strict=True):
        assert got >= min(wish.uses, wish.most, capacity / len(wishes)) - CLOSE
    hungry = [got for got, w in zip(given_out, wishes, strict=True) if w == Wish(math.inf)]
    assert not hungry or max(hungry) - min(hungry) <= CLOSE


def test_what_one_cannot_use_another_gets() -> None:
    assert shares(100.0, [Wish(20.0), Wish(math.inf)]) == [20.0, 80.0]
    assert shares(100.0, [Wish(math.inf, 30.0), Wish(math.inf)]) == [30.0, 70.0]
    assert shares(100.0, [Wish(10.0), Wish(20.0)]) == [45.0, 55.0], "room to grow"
    assert shares(100.0, [Wish(0.0)]) == [100.0]


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def running(lab: ServerLab, number: int, **fields: object) -> str:
    """A cast to one machine, under way."""
    client = FakeClient(lab, number).register()
    wish = {"image": "lab", "start_clients": 1, "clients": [client.id], **fields}
    cast: str = lab.operator("POST", "/casts", wish)["cast"]
    assert client.join(cast).is_success
    return cast


def caps(lab: ServerLab) -> list[float]:
    return [sender.cap for sender in lab.senders]


def test_a_cast_alone_has_all_and_gives_half_to_another(lab: ServerLab) -> None:
    running(lab, 1)
    assert caps(lab) == [100e6]
    second = running(lab, 2)
    assert caps(lab) == [50e6, 50e6]
    lab.operator("POST", f"/casts/{second}/cancel")
    assert caps(lab)[0] == 100e6


def test_a_pause_gives_its_share_to_others_until_it_ends(lab: ServerLab) -> None:
    first = running(lab, 1)
    running(lab, 2)
    lab.operator("POST", f"/casts/{first}/pause")
    assert caps(lab)[1] == 100e6
    lab.operator("POST", f"/casts/{first}/resume")
    assert caps(lab) == [50e6, 50e6]


def test_a_cap_of_its_own_is_kept_and_the_rest_is_others(lab: ServerLab) -> None:
    capped = running(lab, 1, rate_cap=20_000_000)
    assert caps(lab) == [20e6]
    running(lab, 2)
    assert caps(lab) == [20e6, 80e6]
    assert lab.operator("GET", f"/casts/{capped}")["rate_cap"] == 20_000_000
    lab.restart()
    assert lab.operator("GET", f"/casts/{capped}")["rate_cap"] == 20_000_000


def test_what_a_slow_group_cannot_use_is_given_on_within_a_second(lab: ServerLab) -> None:
    running(lab, 1)
    running(lab, 2)
    lab.senders[0].uses = 10e6
    lab.casts.tick()
    assert caps(lab) == [10e6, 90e6]

"""The bytes that a cast to many costs, against the simulated table of the protocol's design."""

from __future__ import annotations

import pytest

from tests.support.castcells import Cell

# Clients, loss of each, bytes over the image's; fixed seeds. Tolerance: 0.03 beside the design's figure.
INDEPENDENT = [
    (10, 0.001, 1.006),
    (10, 0.01, 1.023),
    (10, 0.05, 1.081),
    (100, 0.001, 1.010),
    (100, 0.01, 1.033),
    (100, 0.05, 1.102),
    (500, 0.001, 1.013),
    (500, 0.01, 1.039),
    (500, 0.05, 1.112),
]
BURSTS = [(500, 0.001, 1.08), (500, 0.01, 1.13)]
TOLERANCE = 0.03
FEEDBACK_MAX = 2500


def judge(clients: int, share: float, ratio: float, *, burst: int, megabytes: int) -> None:
    outcome = Cell(clients, share, burst=burst, megabytes=megabytes).run()
    assert outcome.done == clients
    assert outcome.ratio <= ratio + TOLERANCE, outcome
    assert outcome.feedback <= FEEDBACK_MAX, outcome
    assert outcome.unicast == 0, outcome


def test_ten_clients_at_one_percent_cost_what_the_design_says() -> None:
    judge(10, 0.01, 1.023, burst=1, megabytes=60)


@pytest.mark.full
@pytest.mark.parametrize(("clients", "share", "ratio"), INDEPENDENT)
def test_independent_loss(clients: int, share: float, ratio: float) -> None:
    judge(clients, share, ratio, burst=1, megabytes=100)


@pytest.mark.full
@pytest.mark.parametrize(("clients", "share", "ratio"), BURSTS)
def test_bursts_of_one_coalesced_message(clients: int, share: float, ratio: float) -> None:
    judge(clients, share, ratio, burst=45, megabytes=100)

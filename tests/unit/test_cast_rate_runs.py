"""The rate where packets are lost in runs: small samples tell nothing, grown ones everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from castcore.cast.ratecontrol import RateControl, Sample, doubt

from tests.support.castloss import Loss, loss_of

CAP = 110e6
DATAGRAM = 1452
PERIOD = 0.05
SAMPLE_MIN = 400


class Group:
    """Clients whose counts grow until they are judged, as the sender's roster keeps them."""

    def __init__(self, clients: int, cap: float = CAP) -> None:
        self.control = RateControl(cap)
        self.lost, self.packets = np.zeros(clients), 0
        self.sent = self.sent_and_lost = 0.0

    def step(self, now: float, lose: Callable[[int], np.ndarray]) -> None:
        """One period at the present rate; ``lose``: what each client loses of so many packets."""
        count = int(self.control.rate * PERIOD / DATAGRAM)
        lost = lose(count)
        self.sent, self.sent_and_lost = self.sent + count, self.sent_and_lost + lost.mean()
        self.lost, self.packets = self.lost + lost, self.packets + count
        if self.packets < SAMPLE_MIN:
            return
        samples = [Sample(share, 0.0, self.packets) for share in self.lost / self.packets]
        changed = self.control.update(now, samples, self.control.rate, len(samples))
        if changed or not self.control.doubtful:
            self.lost[:], self.packets = 0, 0


def drawn(loss: Loss) -> Callable[[int], np.ndarray]:
    return lambda count: (~loss.kept(count)).sum(axis=1)


@pytest.mark.parametrize("clients", [1, 4, 100])
@pytest.mark.parametrize(("share", "burst"), [(0.01, 45), (0.05, 45), (0.01, 1), (0.05, 1)])
def test_the_mediums_own_loss_costs_next_to_no_rate(clients: int, share: float, burst: int) -> None:
    group, loss = Group(clients), loss_of(clients, share, burst, 5)
    rates = []
    for step in range(200):
        group.step(step * PERIOD, drawn(loss))
        rates.append(group.control.rate)
    assert max(rates[:30]) == CAP, "slow start was left for nothing"
    assert np.mean(rates[20:]) >= 0.9 * CAP


@pytest.mark.parametrize("link", [25e6, 60e6])
def test_a_queue_that_overflows_is_still_answered(link: float) -> None:
    group = Group(4)
    for step in range(2000):
        over = max(1 - link / group.control.rate, 0.0)
        if step == 400:
            group.sent = group.sent_and_lost = 0
        group.step(step * PERIOD, lambda count, over=over: np.full(4, over * count))  # type: ignore[misc]
    assert group.sent_and_lost < 0.012 * group.sent
    assert group.sent * DATAGRAM / (1600 * PERIOD) > 0.85 * link


def test_heavy_overload_is_left_though_packets_fall_in_runs() -> None:
    group, loss = Group(4), loss_of(4, 0.5, 45, 6)
    for step in range(20):
        group.step(step * PERIOD, drawn(loss))
    assert group.control.rate < 10e6


def test_doubt_falls_with_evidence_and_is_greater_for_runs() -> None:
    assert doubt(0.01, 400) > doubt(0.01, 4000) > 0
    assert doubt(0.01, 400, 45) > 6 * doubt(0.01, 400)
    assert doubt(0.0, 400, 45) == 0

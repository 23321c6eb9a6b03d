"""Reports: the latest one counts, it is kept while the server is gone, and its arrival is known."""

from __future__ import annotations

import threading

import pytest
from castclient.link import REPORT_SECONDS, Reporter, _pace
from castcore.control import ClientState, Report
from castcore.errors import NetworkFailed


class Wire:
    """Takes reports, or is cut."""

    def __init__(self) -> None:
        self.arrived: list[Report] = []
        self.cut = False
        self.pace = REPORT_SECONDS
        self.tried = threading.Semaphore(0)

    def send(self, report: Report) -> float:
        try:
            if self.cut:
                raise NetworkFailed("no answer")
            self.arrived.append(report)
            return self.pace
        finally:
            self.tried.release()


def test_a_new_state_is_sent_at_once_and_its_arrival_known() -> None:
    wire = Wire()
    reporter = Reporter(wire.send)
    reporter.start()
    assert reporter.delivered(0), "nothing to tell is told"
    reporter.tell(Report(ClientState.READY))
    assert reporter.delivered(5)
    reporter.stop()
    assert wire.arrived == [Report(ClientState.READY)]


def test_the_last_report_is_kept_until_the_server_is_back() -> None:
    wire = Wire()
    wire.cut = True
    reporter = Reporter(wire.send)
    reporter.start()
    reporter.tell(Report(ClientState.VERIFYING, cast="c1"))
    assert wire.tried.acquire(timeout=5)
    reporter.tell(Report(ClientState.DONE, cast="c1", root="ab"))
    assert wire.tried.acquire(timeout=5)
    assert not reporter.delivered(0)
    wire.cut = False
    reporter.again()
    assert reporter.delivered(5)
    reporter.stop()
    assert wire.arrived == [Report(ClientState.DONE, cast="c1", root="ab")]


def test_a_server_that_forgot_is_told_again() -> None:
    wire = Wire()
    reporter = Reporter(wire.send)
    reporter.start()
    reporter.tell(Report(ClientState.READY))
    assert reporter.delivered(5)
    reporter.again()
    assert reporter.delivered(5)
    reporter.stop()
    assert len(wire.arrived) == 2


def test_figures_come_as_often_as_the_server_wants_them_a_new_state_at_once() -> None:
    wire = Wire()
    wire.pace = 3600.0
    reporter = Reporter(wire.send)
    reporter.start()
    reporter.tell(Report(ClientState.RECEIVING, cast="c1", done=1))
    assert reporter.delivered(5)
    reporter.tell(Report(ClientState.RECEIVING, cast="c1", done=2))
    assert not reporter.delivered(2 * REPORT_SECONDS)
    reporter.tell(Report(ClientState.VERIFYING, cast="c1", done=3))
    assert reporter.delivered(5)
    reporter.stop()
    assert [report.done for report in wire.arrived] == [1, 3]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"pace": 3.3}, 3.3),
        ({"pace": 9e9}, 20.0),
        ({"pace": -1}, 1.0),
        ({}, 1.0),
        ({"pace": "x"}, 1.0),
        (7, 1.0),
    ],
)
def test_what_a_server_asks_for_is_bounded(answer: object, seconds: float) -> None:
    assert _pace(answer) == seconds

from __future__ import annotations

import pytest
from castcore.boot import BootDecision
from castcore.control import ClientState, Report
from castserver.casts import policy
from castserver.casts.policy import CastRules, CastState, PartState

OPEN_RULES = CastRules(None, keep_open=True)
ROOT = "ab" * 32
ORDERED, JOINED, DONE = PartState.ORDERED, PartState.JOINED, PartState.DONE
FAILED, REFUSED, GONE = PartState.FAILED, PartState.REFUSED, PartState.GONE


def test_an_unknown_machine_boots_our_client_whatever_was_said() -> None:
    assert policy.boot_decision(known=False, boots=BootDecision.LOCAL) is BootDecision.CLIENT
    assert policy.boot_decision(known=True, boots=BootDecision.LOCAL) is BootDecision.LOCAL


@pytest.mark.parametrize(
    ("state", "part", "wanted"),
    [
        (CastState.GATHERING, None, True),
        (CastState.RUNNING, None, True),
        (CastState.OPEN, None, True),
        (CastState.RUNNING, GONE, True),
        (CastState.RUNNING, JOINED, True),
        (CastState.RUNNING, DONE, False),
        (CastState.OPEN, DONE, False),
        (CastState.OPEN, FAILED, False),
        (CastState.GATHERING, REFUSED, False),
        (CastState.DONE, None, False),
        (CastState.CANCELLED, None, False),
    ],
)
def test_which_ready_machines_a_cast_wants(
    state: CastState, part: PartState | None, *, wanted: bool
) -> None:
    assert policy.wants(state, OPEN_RULES, "m1", part) is wanted


def test_a_cast_with_targets_wants_only_those() -> None:
    rules = CastRules(1, targets=frozenset({"m1"}))
    assert policy.wants(CastState.GATHERING, rules, "m1", None)
    assert not policy.wants(CastState.GATHERING, rules, "m2", None)


@pytest.mark.parametrize(
    ("state", "start", "parts", "starts"),
    [
        (CastState.GATHERING, 3, [JOINED, JOINED], False),
        (CastState.GATHERING, 3, [JOINED, JOINED, ORDERED, REFUSED, GONE], False),
        (CastState.GATHERING, 3, [JOINED, JOINED, JOINED], True),
        (CastState.GATHERING, 3, [JOINED, JOINED, DONE], True),
        (CastState.GATHERING, 3, [DONE, DONE, DONE], True),
        (CastState.GATHERING, 3, [ORDERED, DONE, DONE], False),
        (CastState.GATHERING, None, [JOINED, JOINED, JOINED], False),
        (CastState.OPEN, 3, [DONE, DONE, DONE, JOINED], True),
        (CastState.RUNNING, 3, [JOINED, ORDERED, ORDERED], True),
        (CastState.RUNNING, 3, [ORDERED, ORDERED, ORDERED], False),
        (CastState.CANCELLED, 1, [JOINED], False),
    ],
)
def test_when_a_cast_starts_of_itself(
    state: CastState, start: int | None, parts: list[PartState], *, starts: bool
) -> None:
    assert policy.should_start(state, CastRules(start), parts) is starts


@pytest.mark.parametrize(
    ("state", "keep_open", "parts", "after"),
    [
        (CastState.RUNNING, False, [DONE, JOINED], CastState.RUNNING),
        (CastState.RUNNING, False, [DONE, ORDERED], CastState.RUNNING),
        (CastState.RUNNING, False, [DONE, FAILED, GONE], CastState.DONE),
        (CastState.RUNNING, False, [FAILED, GONE], CastState.FAILED),
        (CastState.RUNNING, True, [DONE, DONE], CastState.OPEN),
        (CastState.OPEN, True, [DONE, JOINED], CastState.RUNNING),
        (CastState.OPEN, True, [DONE, ORDERED], CastState.OPEN),
        (CastState.GATHERING, False, [REFUSED, GONE], CastState.GATHERING),
        (CastState.CANCELLED, True, [JOINED], CastState.CANCELLED),
    ],
)
def test_what_a_cast_becomes(
    state: CastState, parts: list[PartState], after: CastState, *, keep_open: bool
) -> None:
    assert policy.after_parts(state, CastRules(2, keep_open=keep_open), parts) is after


def test_done_is_only_what_was_proven() -> None:
    assert policy.part_after_report(JOINED, Report(ClientState.DONE, root=ROOT), ROOT) == (DONE, "")
    state, said = policy.part_after_report(JOINED, Report(ClientState.DONE, root="cd" * 32), ROOT)
    assert state is FAILED
    assert "cdcd" in said
    assert policy.part_after_report(JOINED, Report(ClientState.DONE), ROOT)[0] is FAILED


def test_a_refusal_is_not_a_failure() -> None:
    failed = Report(ClientState.FAILED, message="the disk is too small")
    assert policy.part_after_report(ORDERED, failed, ROOT)[0] is REFUSED
    assert policy.part_after_report(JOINED, failed, ROOT)[0] is FAILED
    assert policy.part_after_report(DONE, failed, ROOT)[0] is DONE


def test_a_lost_machine_that_still_receives_is_back() -> None:
    assert policy.part_after_report(GONE, Report(ClientState.RECEIVING), ROOT)[0] is JOINED
    assert policy.part_after_report(GONE, Report(ClientState.READY), ROOT)[0] is GONE


@pytest.mark.parametrize(
    ("state", "stays", "idle"),
    [
        (None, False, True),
        (ClientState.READY, False, True),
        (ClientState.FAILED, False, True),
        (ClientState.DONE, False, False),
        (ClientState.DONE, True, True),
        (ClientState.RECEIVING, True, False),
        (ClientState.REBOOTING, True, False),
    ],
)
def test_who_may_be_given_a_cast(state: ClientState | None, *, stays: bool, idle: bool) -> None:
    assert policy.idle(Report(state) if state else None, stays=stays) is idle

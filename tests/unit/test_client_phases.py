"""The client's table: the ways through it, and what must never happen in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from castclient.phases import TABLE, Action, Event, Phase, as_markdown, step

ROOT = Path(__file__).resolve().parents[2]


def walk(phase: Phase, *events: Event) -> tuple[Phase, list[Action]]:
    done: list[Action] = []
    for event in events:
        phase, actions = step(phase, event)
        done += actions
    return phase, done


def test_from_power_on_to_reboot() -> None:
    phase, done = walk(
        Phase.STARTING,
        Event.STARTED,
        Event.FOUND,
        Event.REGISTERED,
        Event.ORDER_CAST,
        Event.PROGRESS,
        Event.CAST_DONE,
        Event.TOLD,
    )
    assert phase is Phase.LEAVING
    wanted = [Action.SEARCH, Action.REGISTER, Action.LISTEN, Action.CAST, Action.TELL, Action.LEAVE]
    assert done == wanted


@pytest.mark.parametrize(
    "event", [Event.ORDER_CAST, Event.ORDER_LEAVE, Event.TOLD, Event.STARTED, Event.ASKED_OFF]
)
def test_nothing_from_outside_ends_or_restarts_a_write(event: Event) -> None:
    assert step(Phase.CASTING, event) == (Phase.CASTING, ())


def test_only_its_own_end_leads_out_of_a_cast() -> None:
    ways = {event for (phase, event), (after, _) in TABLE.items() if phase is Phase.CASTING != after}
    assert ways == {Event.CAST_DONE, Event.CAST_FAILED, Event.SURE_OFF}, "or a person who was asked"


@pytest.mark.parametrize("phase", [Phase.CASTING, Phase.DONE, Phase.FAILED])
def test_the_link_is_renewed_beside_what_goes_on(phase: Phase) -> None:
    assert walk(phase, Event.LOST, Event.GAVE_UP, Event.REGISTERED) == (
        phase,
        [Action.REGISTER, Action.REGISTER, Action.LISTEN],
    )


def test_a_failed_machine_never_restarts_by_itself() -> None:
    reached, todo = {Phase.FAILED}, [Phase.FAILED]
    automatic = set(Event) - {Event.ORDER_CAST, Event.ORDER_CAPTURE, Event.ORDER_LEAVE}
    automatic -= {Event.ASKED_OFF, Event.SURE_OFF}
    automatic -= {Event.AGAIN}  # to a cast that is then done
    while todo:
        phase = todo.pop()
        for event in automatic:
            after, actions = step(phase, event)
            assert Action.LEAVE not in actions
            if after not in reached:
                reached.add(after)
                todo.append(after)
    assert Phase.LEAVING not in reached


def test_a_lost_server_is_called_again_then_looked_for() -> None:
    assert walk(Phase.READY, Event.LOST, Event.GAVE_UP) == (
        Phase.SEARCHING,
        [Action.REGISTER, Action.SEARCH],
    )


def test_every_phase_can_be_reached() -> None:
    assert {after for after, _ in TABLE.values()} | {Phase.STARTING} == set(Phase)


def test_nothing_leads_out_of_leaving() -> None:
    assert all(step(Phase.LEAVING, event) == (Phase.LEAVING, ()) for event in Event)


def test_the_document_shows_this_table() -> None:
    assert as_markdown() in (ROOT / "docs/client.md").read_text()

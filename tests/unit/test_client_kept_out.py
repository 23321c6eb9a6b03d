"""A machine that the server does not let in: what the loop does, what screen and serial port say."""

from __future__ import annotations

import dataclasses

import pytest
from castclient import screen
from castclient.clientreport import report_of
from castclient.console import PlainLines
from castclient.happening import Happening
from castclient.journal import Journal
from castclient.model import Model
from castclient.noting import noted
from castclient.phases import Action, Event, Phase, step
from castclient.screen import Tone
from castcore.control import Standing

WHY = "the operator has still to approve this machine"
WORDS = "amber-kite-moon-fig"


def kept_out(standing: Standing) -> Model:
    model = Model(
        "0.1", phase=Phase.WAITING, server_url="https://192.0.2.1:8443", server_words="a-b-c-d"
    )
    told = Happening(Event.KEPT_OUT, text=WHY, standing=standing, words=WORDS)
    return noted(model, told)


def text(model: Model) -> str:
    return "\n".join(line.text for line in screen.render(model))


@pytest.mark.parametrize("standing", [Standing.WAITING, Standing.RIVAL, Standing.DENIED])
def test_the_screen_shows_why_and_the_code_to_compare(standing: Standing) -> None:
    shown = text(kept_out(standing))
    assert WHY in shown
    assert f"The code of this machine:  {WORDS}" in shown


def test_one_of_another_version_has_nothing_to_compare() -> None:
    shown = text(kept_out(Standing.REFUSED))
    assert WHY in shown
    assert WORDS not in shown


@pytest.mark.parametrize(
    ("standing", "state", "tone"),
    [
        (Standing.WAITING, "waiting", Tone.CALM),
        (Standing.RIVAL, "waiting", Tone.CALM),
        (Standing.DENIED, "denied", Tone.BAD),
        (Standing.REFUSED, "refused", Tone.BAD),
    ],
)
def test_its_state_and_colour(standing: Standing, state: str, tone: Tone) -> None:
    model = kept_out(standing)
    assert model.state == state
    assert tone in {line.tone for line in screen.render(model)}
    assert report_of(model, Journal()) is None


def test_a_serial_port_says_the_code_once() -> None:
    plain, model = PlainLines(), kept_out(Standing.WAITING)
    (line,) = plain.lines(model, 1.0)
    assert f"machine-code={WORDS}" in line
    assert "state=waiting" in line
    assert plain.lines(model, 2.0) == []


def test_it_waits_until_it_is_let_in_and_looks_again_for_a_server_that_is_gone() -> None:
    assert step(Phase.REGISTERING, Event.KEPT_OUT) == (Phase.WAITING, ())
    assert step(Phase.WAITING, Event.REGISTERED) == (Phase.READY, (Action.LISTEN,))
    assert step(Phase.WAITING, Event.GAVE_UP) == (Phase.SEARCHING, (Action.SEARCH,))


@pytest.mark.parametrize("phase", [Phase.CASTING, Phase.DONE, Phase.FAILED])
def test_what_is_under_way_goes_on_when_it_is_kept_out_in_the_middle(phase: Phase) -> None:
    assert step(phase, Event.KEPT_OUT) == (phase, ())
    model = dataclasses.replace(kept_out(Standing.DENIED), phase=phase)
    assert WHY in text(model)


def test_once_let_in_nothing_is_said_of_it_any_more() -> None:
    model = noted(kept_out(Standing.WAITING), Happening(Event.REGISTERED, client="m1"))
    model = dataclasses.replace(model, phase=Phase.READY)
    assert (model.kept_out, model.standing) == ("", Standing.ADMITTED)
    assert WORDS not in text(model)

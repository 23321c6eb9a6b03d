"""The screen at 80x25: everything on it, nothing beside it, whatever the model holds."""

from __future__ import annotations

import dataclasses

import pytest
from castclient import screen
from castclient.bigletters import ROWS, big
from castclient.model import DiskNow, Model, RateMeter
from castclient.phases import Phase
from castclient.screen import Tone
from castcore.control import ClientState
from castcore.units import GIB

from tests.golden import clientscreens

CAST, MODEL = clientscreens.CAST, clientscreens.CASTING


def text(model: Model, width: int = 80, height: int = 25) -> str:
    lines = screen.render(model, width, height)
    assert len(lines) == height
    assert {len(line.text) for line in lines} == {width}
    return "\n".join(line.text.rstrip() for line in lines)


def test_a_failure_says_why_in_red_and_when_it_is_tried_again() -> None:
    why = "the image does not go on /dev/vda: it is too small, " + "and so on " * 10
    failed = dataclasses.replace(MODEL, phase=Phase.FAILED, cast=None, problem=why)
    lines = screen.render(failed)
    assert {line.tone for line in lines} == {Tone.BAD, Tone.TITLE}
    assert "too small" in " ".join(line.text for line in lines)
    again = dataclasses.replace(failed, attempt=2, retry_at=failed.now + 20.4)
    assert "Tries again by itself in 0:20 (try 3)." in text(again)


@pytest.mark.parametrize(
    ("phase", "tone"),
    [
        (Phase.READY, Tone.CALM),
        (Phase.CASTING, Tone.BUSY),
        (Phase.DONE, Tone.GOOD),
        (Phase.FAILED, Tone.BAD),
    ],
)
def test_the_whole_screen_has_the_colour_of_the_state(phase: Phase, tone: Tone) -> None:
    lines = screen.render(dataclasses.replace(MODEL, phase=phase))
    assert {line.tone for line in lines[1:-1]} == {tone}


def test_what_is_asked_goes_before_what_is_told_and_both_before_the_keys() -> None:
    told = dataclasses.replace(MODEL, notice="the stick can be pulled out " * 4)
    asked = dataclasses.replace(told, question="shut down?")
    assert screen.render(asked)[-1] == screen.Line(" shut down?".ljust(80), Tone.QUESTION)
    assert [line.tone for line in screen.render(told)[-2:]] == [Tone.NOTICE, Tone.NOTICE]
    assert "Ctrl+Alt+" in screen.render(MODEL)[-1].text


def test_each_disk_of_a_cast_tells_how_far_it_is() -> None:
    first, second, third = clientscreens.DISKS
    two = (DiskNow(second.path, 30, 100, 0), DiskNow(first.path, 60, 120, 2))
    shown = text(dataclasses.replace(MODEL, cast=dataclasses.replace(CAST, disks=two)))
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith("  ")}
    assert rows["sda"].endswith("30%")
    assert rows["nvme0n1"].endswith("50%  2 B/s  0:30")
    assert rows["sdb"].endswith(third.held_by)
    assert first.serial in rows["nvme0n1"]


def test_a_server_that_is_gone_is_said() -> None:
    assert "The server is gone" in text(dataclasses.replace(MODEL, link_lost=True))


def test_several_servers_are_listed_to_choose_from() -> None:
    shown = text(Model("0.1", phase=Phase.CHOOSING, choices=("one  https://a", "two  https://b")))
    assert "  1  one  https://a" in shown
    assert "  2  two  https://b" in shown


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", ClientState)
def test_every_state_has_a_headline(phase: Phase, state: ClientState) -> None:
    for cast in (None, dataclasses.replace(CAST, state=state, total=0)):
        lines = screen.render(dataclasses.replace(MODEL, phase=phase, cast=cast))
        assert sum("#" in line.text for line in lines if line.solid) >= ROWS


@pytest.mark.parametrize(("width", "height"), [(80, 25), (132, 43), (40, 15), (80, 3)])
def test_it_fits_any_console(width: int, height: int) -> None:
    text(dataclasses.replace(MODEL, nics=MODEL.nics * 6, problem="x" * 500), width, height)


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    shown = text(dataclasses.replace(MODEL, server_name="\x1b[2J\x07é\n"))
    assert "\x1b" not in shown
    assert "?[2J???" in shown


@pytest.mark.parametrize("state", ClientState)
def test_the_share_done_is_in_large_letters_too(state: ClientState) -> None:
    whole = dataclasses.replace(CAST, state=state, done=CAST.total)
    lines = screen.render(dataclasses.replace(MODEL, phase=Phase.CASTING, cast=whole))
    assert sum("#" in line.text for line in lines if line.solid) >= ROWS
    assert not any("100%" in line.text for line in lines[:8])


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"),
    [(76, 5, 5, 52), (40, 5, 5, 26), (160, 10, 10, 104), (20, 5, 1, 4), (76, 4, 1, 4)],
)
def test_large_letters_are_as_large_as_they_can_be(
    width: int, height: int, rows: int, columns: int
) -> None:
    shown = big("DONE", width, height)
    assert (len(shown), max(map(len, shown))) == (rows, columns)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(window=5)
    assert meter.mark(0, 0) == 0
    assert meter.mark(1, 100) == 100
    assert [meter.mark(t, 100) for t in range(2, 8)][-1] == 0
    assert meter.mark(8, 50) == 0, "another step counts from zero again"
    assert meter.mark(10, 250) == 100


def test_percent_and_time_left() -> None:
    assert dataclasses.replace(CAST, done=GIB + 5).percent == 100
    assert dataclasses.replace(CAST, rate=0).eta is None
    assert CAST.eta == 8

"""How a running cast is shown: the table on a terminal, JSON events, and the API's view of it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from dataclasses import replace
from typing import Any

import pytest
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus
from castcore.edge import commandline
from castcore.edge.commandline import Screen
from castserver.api.views import CastView, SenderView
from castserver.cli.casttable import cast_lines
from castserver.cli.castwatch import CastWatch
from castserver.console import show
from castserver.console.languages import Language, Words
from castserver.wording import clock

CLIENT = ClientStatus("pc1", ClientClass.OK, 98_100_000, 0.5, 83.4, 3, 6, 960, 30, 0, 2, done=False)
DONE = replace(CLIENT, client="pc0", kind=ClientClass.DONE, have=1.0, rate=0, eta=0.0, done=True)
STATUS = CastStatus(
    SenderState.LAP, 98_000_000, 3 << 30, 12 << 20, 2, 3, (DONE, CLIENT), stored=1 << 30, eta=83.4
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    size = os.terminal_size((80, 10))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: size)
    monkeypatch.setattr(commandline, "REDRAW_SECONDS", 0)
    return Terminal()


def screen(err: Terminal, *, as_json: bool = False) -> Screen:
    return Screen(as_json=as_json, out=io.StringIO(), err=err)


def shown(text: str, rows: int = 20) -> list[str]:
    """What a terminal shows after ``text``: carriage return, cursor up, erase below."""
    lines, row = [""], 0
    for part in re.split(r"(\r|\n|\x1b\[\d*[AJ])", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = ""
        elif part.startswith("\x1b["):
            row -= int(part[2:-1])
        elif part != "\r":
            lines[row] += part
    return lines[-rows:]


def test_whoever_has_most_to_do_comes_first() -> None:
    whole, headings, first, second = cast_lines(STATUS, 20)
    assert whole == "lap  98.0 MB/s  lap 2  3.0 GiB sent, 12.0 MiB of it repair  1 of 2 done  1:23 left"
    assert headings.split()[:4] == ["CLIENT", "CLASS", "HAVE", "MB/S"]
    assert first.split() == ["pc1", "ok", "50%", "98.1", "3.03%", "0", "2", "1:23"]
    assert second.split()[:3] == ["pc0", "done", "100%"]


def test_a_low_terminal_counts_those_it_has_no_room_for() -> None:
    many = replace(STATUS, clients=tuple(replace(CLIENT, client=f"pc{i:03}") for i in range(500)))
    lines = cast_lines(many, 10)
    assert len(lines) == 10
    assert lines[-1] == "  … and 493 more, who have at least as much"


def test_a_name_cannot_steer_the_terminal() -> None:
    evil = replace(STATUS, clients=(replace(CLIENT, client="\x1b[2Jpc"),))
    assert "\x1b" not in "".join(cast_lines(evil, 20))


def test_unknown_times_are_no_figure() -> None:
    assert [clock(s) for s in (None, 0.0, 59.9, 3600.0)] == ["?", "0:00", "0:59", "60:00"]


def test_the_table_is_redrawn_in_place_and_lines_for_people_go_below(terminal: Terminal) -> None:
    out = screen(terminal)
    watch = CastWatch(out)
    watch.show(STATUS, "Press Enter to begin.")
    watch.show(replace(STATUS, clients=(DONE,)), "Press Enter to begin.")
    lines = shown(terminal.getvalue())
    assert [line.split()[0] for line in lines] == ["lap", "CLIENT", "pc0", "Press"]
    out.warn("look")
    assert shown(terminal.getvalue())[-2:] == ["warning: look", ""]
    watch.show(STATUS)
    assert len(shown(terminal.getvalue())) == 4 + 1 + 4


def test_a_long_line_is_cut_not_wrapped(terminal: Terminal) -> None:
    screen(terminal).block(["x" * 500, "y"])
    assert shown(terminal.getvalue()) == ["x" * 79, "y"]


def test_events_come_once_a_second_and_the_last_in_any_case() -> None:
    out = io.StringIO()
    now = [100.0]
    watch = CastWatch(Screen(as_json=True, out=out, err=io.StringIO()), clock=lambda: now[0])
    for _ in range(20):
        watch.show(STATUS)
        now[0] += 0.25
    watch.show(replace(STATUS, state=SenderState.CLOSED), last=True)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [e["state"] for e in events] == ["lap"] * 5 + ["closed"]
    assert all(e["event"] == "status" for e in events)
    assert events[0]["clients"][1] == CLIENT.to_json()


def test_the_api_shows_the_same_values_as_the_event_stream() -> None:
    view = SenderView.model_validate(STATUS)
    assert json.loads(view.model_dump_json(by_alias=True)) == STATUS.to_json()


def test_the_console_says_how_each_machine_keeps_up() -> None:
    values: dict[str, Any] = dict.fromkeys(CastView.model_fields)
    cast = CastView.model_construct(**values | {"sender": SenderView.model_validate(STATUS)})
    said = show.receptions(Words(Language.EN), cast)
    assert said["pc1"] == "ok · 98.1 MB/s · loss 3.03% network, 0 host · 2 blocks shed · 1:23 left"
    assert set(said) == {"pc0", "pc1"}

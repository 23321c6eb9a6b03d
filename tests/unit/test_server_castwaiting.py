"""Waiting for a cast at a command line: until it has ended, well or with every reason why not."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from castcore.edge.commandline import Screen
from castcore.errors import NotFound
from castserver.cli import castwaiting
from castserver.cli.castwaiting import CastFailed, newest, waited


class FakeOperator:
    """Answers with one state of a cast after the other."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)

    def get(self, *path: str) -> Any:
        if path == ("casts",):
            return self.states
        assert path == ("casts", "c1")
        return self.states.pop(0)


def cast(state: str, *parts: tuple[str, int], message: str = "") -> dict[str, Any]:
    shown = [
        {
            "label": f"PC-{number}",
            "state": part,
            "message": "its disk is too small" if part == "refused" else "",
            "report": {"done": done, "total": 100} if done else None,
        }
        for number, (part, done) in enumerate(parts, 1)
    ]
    return {"cast": "c1", "state": state, "message": message, "parts": shown}


def screen() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(as_json=True, out=out, err=io.StringIO()), out


def wait(monkeypatch: pytest.MonkeyPatch, *states: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    monkeypatch.setattr(castwaiting, "LOOK_SECONDS", 0.0)
    told, out = screen()
    ended = waited(FakeOperator(*states), "c1", told)  # type: ignore[arg-type]
    return ended, [json.loads(line) for line in out.getvalue().splitlines()]


def test_it_returns_when_every_machine_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = cast("running", ("joined", 40), ("done", 100), ("ordered", 0))
    ended, told = wait(monkeypatch, cast("gathering"), under_way, cast("done", ("done", 100)))
    assert ended["state"] == "done"
    assert told[0]["step"] == "cast"
    assert (told[0]["done"], told[0]["total"]) == (0, 0)


def test_progress_is_that_of_all_machines_together() -> None:
    now = castwaiting.progress(cast("running", ("joined", 40), ("done", 100), ("ordered", 0)))
    assert (now.done, now.total, now.detail) == (140, 200, "running, 1 of 3 machines proven")


@pytest.mark.parametrize(
    "end",
    [
        cast("cancelled", message="cancelled by the operator"),
        cast("failed", ("failed", 7), message="the medium was pulled out"),
        cast("done", ("done", 100), ("refused", 0), message="1 of 2 machines proven"),
    ],
    ids=lambda end: str(end["state"]),
)
def test_a_machine_that_proved_nothing_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, end: dict[str, Any]
) -> None:
    with pytest.raises(CastFailed) as caught:
        wait(monkeypatch, end)
    assert end["message"] in caught.value.what
    for part in end["parts"]:
        assert (part["label"] in caught.value.what) is (part["state"] != "done")
        assert part["message"] in caught.value.what


def test_the_newest_cast_is_the_first_of_the_list() -> None:
    assert newest(FakeOperator(cast("done"), cast("failed"))) == "c1"  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="no cast"):
        newest(FakeOperator())  # type: ignore[arg-type]

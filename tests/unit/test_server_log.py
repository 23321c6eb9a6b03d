"""The server's log: objects in its files, text for people, never larger than its bound."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from castserver.logs.loglines import as_text
from castserver.logs.serverlog import FILE, FOLDER, KEPT_FILES, keep_log, log_tail, own_logs

MOST = 2000

log = logging.getLogger("fleetcast.test")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    handler = keep_log(tmp_path, MOST)
    yield tmp_path
    logging.getLogger().removeHandler(handler)
    handler.close()


def lines(state: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (state / FOLDER / FILE).read_text().split("\n") if line]


def test_a_line_is_an_object_with_what_the_caller_named(state: Path) -> None:
    log.warning("cast %s: two\nlines\u2028of it", "c1", extra={"cast": "c1", "path": state})
    (said,) = lines(state)
    assert {"level", "logger", "message", "cast"} < said.keys()
    assert (said["level"], said["logger"], said["cast"]) == ("WARNING", "fleetcast.test", "c1")
    assert said["path"] == str(state)
    assert said["time"].endswith("Z")
    shown = log_tail(state, 10)
    assert shown[0].endswith("Z WARNING fleetcast.test: cast c1: two")
    assert shown[1].startswith("lines\u2028of ")


def test_an_exception_is_told_below_its_line(state: Path) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        log.exception("it stumbled")
    (said,) = lines(state)
    assert said["trace"].startswith("Traceback")
    shown = log_tail(state, 100)
    assert "ERROR fleetcast.test: it stumbled" in shown[0]
    assert shown[-1] == "ValueError: no such thing"
    assert log_tail(state, 1) == shown[-1:]


def test_files_are_put_aside_and_the_oldest_is_gone(state: Path) -> None:
    for number in range(400):
        log.error("line %d", number)
    kept = own_logs(state)
    assert len(kept) == KEPT_FILES + 1
    assert max(len(text.encode()) for text in kept.values()) <= MOST
    assert (state / FOLDER).stat().st_mode & 0o777 == 0o700
    assert [line.split(" ")[-1] for line in log_tail(state, 20)] == [str(n) for n in range(380, 400)]
    first = json.loads(kept[f"{FILE}.{KEPT_FILES}"].splitlines()[0])
    assert first["message"] != "line 0"


@pytest.mark.parametrize("line", ["2026 ERROR fleetcast: of before", "{", "[1]", '{"time": 3}', "null"])
def test_what_is_no_object_of_ours_is_shown_as_it_is(line: str) -> None:
    assert as_text(line) == line

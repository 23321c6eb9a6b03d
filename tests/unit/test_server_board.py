from __future__ import annotations

import asyncio
import json
from typing import Any

from castserver.api.board import ROOT, Board, BoardBuilder, Versions
from castserver.api.liveboards import AGING, MOST_BOARDS, LiveBoards
from castserver.signal import Signal


def board(**rows: str) -> Board:
    made = BoardBuilder()
    made.put("head", "<p id=head>head</p>")
    made.put("table", "<div id=table><ul id=rows data-list><!--list rows--></ul></div>")
    made.begin("rows")
    for name, text in rows.items():
        made.put(name, f"<li id={name}>{text}</li>", "rows")
    return made.board()


def change(versions: Versions, mark: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(versions.since(mark))
    return told


def test_a_board_is_a_page_with_its_lists_in_place() -> None:
    assert board(a="1", b="2").whole() == (
        "<p id=head>head</p>\n"
        "<div id=table><ul id=rows data-list><li id=a>1</li>\n<li id=b>2</li></ul></div>"
    )


def test_only_what_changed_is_told() -> None:
    versions = Versions()
    versions.take(board(a="1", b="2", c="3"))
    seen = versions.mark
    versions.take(board(a="1", b="changed", c="3"))
    assert change(versions, seen) == {
        "mark": versions.mark,
        "lists": {},
        "blocks": {"b": "<li id=b>changed</li>"},
    }


def test_nothing_changed_is_no_version() -> None:
    versions = Versions()
    versions.take(board(a="1"))
    seen = versions.mark
    versions.take(board(a="1"))
    assert versions.mark == seen


def test_rows_that_come_go_and_move_are_told_by_their_list() -> None:
    versions = Versions()
    versions.take(board(a="1", b="2"))
    seen = versions.mark
    versions.take(board(b="2", c="3"))
    told = change(versions, seen)
    assert told["lists"] == {"rows": ["b", "c"]}
    assert list(told["blocks"]) == ["c"]
    versions.take(board())
    assert change(versions, told["mark"])["lists"] == {"rows": []}


def test_a_block_that_comes_back_is_told_whole() -> None:
    versions = Versions()
    versions.take(board(a="1"))
    versions.take(Board({ROOT: ()}, {}))
    seen = versions.mark
    versions.take(board(a="1"))
    told = change(versions, seen)
    assert set(told["blocks"]) == {"head", "table", "a"}
    assert list(told["lists"]) == [ROOT, "rows"]


def test_several_versions_are_told_at_once() -> None:
    versions = Versions()
    versions.take(board(a="1", b="2"))
    seen = versions.mark
    versions.take(board(a="changed", b="2"))
    versions.take(board(a="changed", b="changed"))
    assert set(change(versions, seen)["blocks"]) == {"a", "b"}


def test_who_has_seen_another_history_is_told_all() -> None:
    versions = Versions()
    versions.take(board(a="1"))
    for mark in ("", "other.1", f"{versions.key}.x", f"{versions.key}.-1", f"{versions.key}.", "9" * 40):
        assert set(change(versions, mark)["blocks"]) == {"head", "table", "a"}, mark
    assert change(versions, f"{versions.key}.999")["blocks"] == {}


def test_one_drawing_serves_all_who_look() -> None:
    drawn: list[int] = []
    signal, clock = Signal(), [1000.0]
    boards = LiveBoards(signal, lambda: clock[0])

    def draw() -> Board:
        drawn.append(1)
        return board(a=str(len(drawn)))

    async def scene() -> None:
        one = boards.at(("en", ""), draw)
        assert boards.at(("en", ""), draw) is one
        await asyncio.gather(*(boards.look(one) for _ in range(20)))
        assert len(drawn) == 1
        for _ in range(50):  # each of which 20 consoles hear
            signal.fire()
        await asyncio.gather(*(boards.look(one, pause=1.0) for _ in range(20)))
        assert len(drawn) == 1
        clock[0] += 1.0
        await asyncio.gather(*(boards.look(one, pause=1.0) for _ in range(20)))
        assert len(drawn) == 2
        clock[0] += AGING + 1
        await boards.look(one)
        assert len(drawn) == 3

    asyncio.run(scene())


def test_what_takes_long_to_draw_is_drawn_seldom() -> None:
    drawn: list[int] = []
    signal, clock = Signal(), [1000.0]
    boards = LiveBoards(signal, lambda: clock[0], used=lambda: clock[0])

    def draw() -> Board:
        drawn.append(1)
        clock[0] += 0.125
        return board(a=str(len(drawn)))

    async def looked_after(seconds: float) -> int:
        clock[0] += seconds
        signal.fire()
        await boards.look(boards.at(("en", ""), draw))
        return len(drawn)

    async def scene() -> list[int]:
        return [await looked_after(seconds) for seconds in (0.0, 0.0, 1.0, 0.125, 1.0, 0.125)]

    # The first is of templates that were not read yet.
    assert asyncio.run(scene()) == [1, 2, 2, 3, 3, 4]


def test_few_boards_are_kept() -> None:
    boards = LiveBoards(Signal())
    first = boards.at(("en", "c0"), board)
    for number in range(1, MOST_BOARDS + 1):
        boards.at(("en", f"c{number}"), board)
    assert boards.at(("en", "c0"), board) is not first
    assert boards.at(("en", f"c{MOST_BOARDS}"), board) is boards.at(("en", f"c{MOST_BOARDS}"), board)

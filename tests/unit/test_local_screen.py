"""The local dialogue's keys and pages: the line being typed, the screen's lines, the serial text."""

from __future__ import annotations

import pytest
from castclient.local.editor import Editor
from castclient.local.facts import WorkNow
from castclient.local.page import Choice, Page, picked, rendered, wrapped
from castclient.local.serialpages import SerialPages
from castclient.screen import Tone

PAGE = Page("home", "Which?", lines=("disk \x1b[2Jx",), choices=(Choice("one", "first"), Choice("two")))


def test_enter_ends_a_line_and_backspace_takes_back() -> None:
    editor = Editor()
    assert editor.feed(b"resx\x7ft") == []
    assert editor.typed == "rest"
    assert editor.feed(b"ore\r") == ["restore"]
    assert editor.feed(b"1\r\n2\n") == ["1", "2"]
    assert editor.feed(b"junk\x15ok\r") == ["ok"]


def test_escape_goes_back_and_the_codes_of_other_keys_are_passed_over() -> None:
    editor = Editor()
    assert editor.feed(b"ab\x1b[A\x1b[3~\x1bOPc\r") == ["abc"]
    assert editor.feed(b"ab\x1b") == ["back"]
    assert editor.typed == ""
    assert editor.feed(b"\x03\x04\x1a\x13x\r") == ["x"], "control characters are no letters"


def test_a_line_has_an_end() -> None:
    editor = Editor()
    editor.feed(b"x" * 5000)
    assert len(editor.typed) == 100


def test_choices_are_picked_by_number_or_word() -> None:
    choices = PAGE.choices
    assert picked(choices, "2") == picked(choices, "TWO") == picked(choices, " two ") == choices[1]
    for typed in ("0", "3", "-1", "", "thre", "²"):
        assert picked(choices, typed) is None


@pytest.mark.parametrize(("width", "height"), [(80, 25), (40, 15), (240, 67)])
def test_the_screen_is_filled_exactly_and_clean(width: int, height: int) -> None:
    long = Page("home", "Which?", tone=Tone.BAD, lines=tuple(f"{n} " + "word " * 40 for n in range(30)))
    large = Page("done", "Done", tone=Tone.GOOD, lines=("all is well",), large="DONE")
    for page in (PAGE, long, large):
        lines = rendered(page, "typed", width, height)
        assert len(lines) == height
        assert {len(line.text) for line in lines} == {width}
        assert all(c.isprintable() for line in lines for c in line.text)
        assert "typed_" in lines[-1].text


def test_a_long_page_is_leafed_through() -> None:
    page = Page("disks", "Disks", lines=tuple(f"line {n}" for n in range(50)))
    first, second = (rendered(page, "", 80, 25, offset) for offset in (0, 20))
    assert "30 more lines" in first[-1].text
    assert any("line 20" in line.text for line in second)
    assert not any("line 20" in line.text for line in first)


def test_long_lines_go_on_indented() -> None:
    assert wrapped(["one two three four"], 10) == ["one two", "    three", "    four"]


def test_a_page_is_written_once_and_what_is_typed_is_echoed() -> None:
    pages = SerialPages()
    first = pages.text(PAGE, None, "", 1.0)
    assert first.startswith("\r\nfleetcast: local=home up=1.0\r\n")
    assert "  1  one" in first
    assert "\x1b" not in first
    assert pages.text(PAGE, None, "", 2.0) == ""
    assert pages.text(PAGE, None, "on", 3.0) == "on"
    assert pages.text(PAGE, None, "o", 3.0) == "\b \b"
    assert pages.ended() == "\r\n"
    pages.again()
    assert "local=home" in pages.text(PAGE, None, "", 4.0)


def test_work_is_told_in_steps_of_ten_percent() -> None:
    pages = SerialPages()
    page = Page("working", "Working")
    said = [
        pages.text(page, WorkNow("restore", done, 1000, rate=50, eta=9), "", 1.0)
        for done in range(0, 1001, 10)
    ]
    lines = [line for line in said if line]
    assert len(lines) == 11
    assert "local=working up=1.0 step=restore done=100 total=1000 percent=10 rate=50 eta=9" in lines[1]
    assert "step=verify" in pages.text(page, WorkNow("verify", 0, 10), "", 2.0)


def test_a_problem_is_a_field_of_the_line() -> None:
    page = Page("home", "Which?", problem="no such disk")
    assert 'local=home up=1.0 message="no such disk"' in SerialPages().text(page, None, "", 1.0)

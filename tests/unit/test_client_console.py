"""The serial console's lines: stable, one per state and per 10 %, readable by a program."""

from __future__ import annotations

import dataclasses
import os
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from castclient.console import PlainLines, plain_line
from castclient.keyboard import digit, number
from castclient.model import CastNow, Model
from castclient.phases import Phase
from castcore.control import ClientState


def test_one_line_per_state_and_per_ten_percent() -> None:
    plain = PlainLines()
    model = Model("0.1", phase=Phase.CASTING)
    said = []
    for done in range(0, 1001, 5):
        cast = CastNow("c1", ClientState.RECEIVING, done=done, total=1000)
        said += plain.lines(dataclasses.replace(model, cast=cast), up=20.06)
    assert len(said) == 11
    assert said[3] == "fleetcast: state=receiving up=20.1 cast=c1 done=300 total=1000 percent=30"


def test_the_end_of_a_cast_shows_its_proof() -> None:
    cast = CastNow(
        "c1", ClientState.DONE, done=9, total=9, written=30, multicast=8, unicast=1, seconds=4, root="ab"
    )
    model = Model("0.1", phase=Phase.DONE, server_url="https://a", server_words="a-b-c-d", cast=cast)
    line = (
        "fleetcast: state=done up=1.0 server=https://a code=a-b-c-d cast=c1 done=9 total=9 percent=100"
        " root=ab written=30 multicast=8 unicast=1 peers=0 repaired=0 seconds=4"
    )
    assert PlainLines().lines(model, 1.0) == [line]


def test_what_the_cast_says_of_itself_is_said_when_it_changes() -> None:
    plain = PlainLines()
    said = []
    for detail in ("filling", "filling", "slower than the cast"):
        cast = CastNow("c1", ClientState.FILLING, done=1, total=100, detail=detail)
        said += plain.lines(Model("0.1", phase=Phase.CASTING, cast=cast), 1.0)
    assert [line.partition("detail=")[2] for line in said] == ["filling", '"slower than the cast"']


def test_a_lost_and_renewed_link_is_said() -> None:
    plain, model = PlainLines(), Model("0.1", phase=Phase.READY)
    said = [
        plain.lines(dataclasses.replace(model, link_lost=lost), 1) for lost in (False, True, True, False)
    ]
    assert [len(lines) for lines in said] == [1, 1, 0, 1]
    assert said[1] == ["fleetcast: state=ready up=1.0 link=lost"]


def test_the_same_is_not_said_twice_but_a_new_problem_is() -> None:
    plain, model = PlainLines(), Model("0.1", phase=Phase.FAILED)
    assert len(plain.lines(model, 1)) == 1
    assert plain.lines(model, 2) == []
    assert plain.lines(dataclasses.replace(model, problem="no disk"), 3) == [
        'fleetcast: state=failed up=3.0 message="no disk"'
    ]


def test_what_a_key_asks_and_answers_is_said_there_too() -> None:
    plain, model = PlainLines(), Model("0.1", phase=Phase.READY)
    plain.lines(model, 1)
    asked = plain.lines(dataclasses.replace(model, question="sure?"), 2)
    told = plain.lines(dataclasses.replace(model, notice="on the stick"), 3)
    assert asked == ["fleetcast: state=ready up=2.0 question=sure?"]
    assert told == ['fleetcast: state=ready up=3.0 notice="on the stick"']


def test_a_failure_says_when_it_is_tried_again() -> None:
    model = Model("0.1", phase=Phase.FAILED, problem="lost", now=5.0, retry_at=15.0)
    (line,) = PlainLines().lines(model, 1)
    assert line == "fleetcast: state=failed up=1.0 message=lost retry=10"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a b", '"a b"'), ("", '""'), ('"', '"\\""'), ("a=b", '"a=b"'), ("é\x1b", '"\\u00e9\\u001b"')],
)
def test_values_that_are_no_plain_word_are_json(value: str, shown: str) -> None:
    assert plain_line({"v": value}) == f"fleetcast: v={shown}"


@pytest.mark.parametrize(
    ("typed", "most", "chosen"),
    [
        (b"2", 2, 2),
        (b"x\r1", 2, 1),
        (b"3", 2, None),
        (b"0", 2, None),
        (b"", 2, None),
        (b"\xb2", 2, None),
    ],
)
def test_the_first_digit_that_is_a_choice_counts(typed: bytes, most: int, chosen: int | None) -> None:
    assert digit(typed, most) == chosen


def test_a_terminal_that_hangs_up_leaves_the_choice_to_the_others() -> None:
    (hung, hung_end), (other, other_end) = os.openpty(), os.openpty()
    try:
        with ThreadPoolExecutor(1) as pool:
            chosen = pool.submit(number, (os.ttyname(hung_end), os.ttyname(other_end)), 3)
            while termios.tcgetattr(other_end)[3] & termios.ICANON:  # it is asked last
                assert not chosen.done()
                time.sleep(0.01)
            os.close(hung)
            os.write(other, b"x2")
            assert chosen.result(20) == 2
    finally:
        for fd in (hung_end, other, other_end):
            os.close(fd)

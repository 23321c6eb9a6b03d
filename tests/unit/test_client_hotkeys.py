"""Keys: chords from key events, letters from a serial console, and nothing by accident."""

from __future__ import annotations

import os
import threading
import time

import pytest
from castclient import hotkeys, retry, stickcopy
from castclient.attendant import Attendant, Errands
from castclient.happening import Happening
from castclient.hotkeys import EVENT, Hotkey, Keyboard
from castclient.phases import Event, Phase
from castclient.serialmenu import SerialMenu
from castclient.stick import Volume
from castcore.errors import BadImage, DiskFailed, DoesNotFit, InUse, NetworkFailed, NotFound, Refused

CTRL, ALT, ALT_GR, S, C, E, L, ENTER, ESC = 29, 56, 100, 31, 46, 18, 38, 28, 1


def events(*strokes: tuple[int, int]) -> bytes:
    """Key events, each followed by the report that ends it (EV_SYN)."""
    return b"".join(
        EVENT.pack(0, 0, 1, code, value) + EVENT.pack(0, 0, 0, 0, 0) for code, value in strokes
    )


@pytest.mark.parametrize(
    ("code", "hotkey"),
    [(S, Hotkey.SHUT_DOWN), (C, Hotkey.SHELL), (E, Hotkey.FILES), (L, Hotkey.LOGS)],
)
@pytest.mark.parametrize("alt", [ALT, ALT_GR])
def test_each_chord_is_its_hotkey_once(code: int, hotkey: Hotkey, alt: int) -> None:
    strokes = events(
        (CTRL, 1), (alt, 1), (code, 1), (code, 2), (code, 2), (code, 0), (alt, 0), (CTRL, 0)
    )
    assert Keyboard().feed(strokes) == [hotkey]


def test_a_chord_may_come_in_pieces() -> None:
    keyboard = Keyboard()
    assert keyboard.feed(events((CTRL, 1))) == []
    assert keyboard.feed(events((ALT, 1))) == []
    assert keyboard.feed(events((S, 1))) == [Hotkey.SHUT_DOWN]


@pytest.mark.parametrize(
    "strokes",
    [
        events((S, 1)),
        events((CTRL, 1), (S, 1)),
        events((ALT, 1), (S, 1)),
        events((CTRL, 1), (ALT, 1), (CTRL, 0), (S, 1)),
        events((CTRL, 1), (ALT, 1), (ENTER, 1)),
        events((CTRL, 1), (ALT, 1), (111, 1)),
        EVENT.pack(0, 0, 2, S, 1),
        b"short",
    ],
)
def test_nothing_less_than_a_chord_counts(strokes: bytes) -> None:
    assert Keyboard().feed(strokes) == []


def test_answers_are_plain_keys() -> None:
    assert Keyboard().feed(events((ENTER, 1), (ENTER, 0), (ESC, 1))) == [Hotkey.YES, Hotkey.NO]


@pytest.mark.parametrize(
    ("typed", "hotkey"),
    [(b"s", Hotkey.SHUT_DOWN), (b"C", Hotkey.SHELL), (b"y", Hotkey.YES), (b"n", Hotkey.NO)]
    + [(typed, None) for typed in (b"", b"\r", b"1", b"\xff", b"\x1b[A")],
)
def test_letters_of_a_serial_console(typed: bytes, hotkey: Hotkey | None) -> None:
    assert hotkeys.letter(typed) is hotkey


def test_without_shells_none_is_offered() -> None:
    assert "shell" not in hotkeys.legend(shells=False) + hotkeys.menu(shells=False)
    assert hotkeys.menu(shells=True) == "keys: s shut down, c shell, e files, l logs to a stick"


@pytest.mark.parametrize("error", [NetworkFailed("x"), DiskFailed("x")])
def test_what_time_can_mend_is_tried_again_ever_later(error: NetworkFailed | DiskFailed) -> None:
    pauses = [retry.backing_off(error, tries) for tries in range(1, retry.MOST_TRIES + 1)]
    assert pauses[:7] == [10, 20, 40, 80, 160, 300, 300]
    assert pauses[-1] is None


@pytest.mark.parametrize(
    "error", [None, DoesNotFit("x"), Refused("x"), BadImage("x"), InUse("x"), NotFound("x")]
)
def test_what_stays_as_it_is_is_not_tried_again(error: DoesNotFit | None) -> None:
    assert retry.backing_off(error, 1) is None


def errands(said: list[Happening], targets: frozenset[str] = frozenset()) -> Errands:
    return Errands(
        said.append, lambda: targets, lambda: b"archive", lambda: "logs-x", lambda: Phase.READY
    )


def test_an_attendant_passes_on_what_is_the_loops() -> None:
    said: list[Happening] = []
    attendant = Attendant(errands(said), shells=True)
    for key in (Hotkey.SHUT_DOWN, Hotkey.YES, Hotkey.NO):
        attendant.press_serial(key, "/dev/null")
    assert [h.event for h in said] == [Event.ASKED_OFF, Event.SURE_OFF, Event.STAY_ON]


@pytest.mark.parametrize("key", hotkeys.SHELL_KEYS)
def test_no_shell_opens_where_they_are_switched_off(key: Hotkey) -> None:
    said: list[Happening] = []
    attendant = Attendant(errands(said), shells=False)
    attendant.press(key)
    attendant.press_serial(key, "/dev/null")
    assert [h.event for h in said] == [Event.NOTICE, Event.NOTICE]
    assert "fleetcast.shell=off" in said[0].text
    assert not attendant.terminals.lent("/dev/null")


def test_logs_go_to_the_stick_and_say_when_it_can_be_pulled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Happening] = []
    written: list[tuple[str, str, bytes]] = []
    stick = Volume("/dev/sdb1", "/dev/sdb", "vfat", "MYSTICK")
    monkeypatch.setattr(stickcopy, "wait_for_stick", lambda _since, _targets: stick)

    def copy_to(volume: Volume, stem: str, data: bytes) -> str:
        written.append((volume.path, stem, data))
        return f"{stem}-1.tar.gz"

    monkeypatch.setattr(stickcopy, "copy_to", copy_to)
    Attendant(errands(said), shells=True).press(Hotkey.LOGS)
    _wait(lambda: bool(said) and "pulled out" in said[-1].text)
    assert written == [("/dev/sdb1", "logs-x", b"archive")]
    assert [h.event for h in said] == [Event.NOTICE] * 3


def test_a_stick_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Happening] = []

    def nobody(_since: float, _targets: object) -> Volume:
        raise NotFound("no stick was plugged in")

    monkeypatch.setattr(stickcopy, "wait_for_stick", nobody)
    Attendant(errands(said), shells=True).press(Hotkey.LOGS)
    _wait(lambda: len(said) == 2)
    assert said[-1].text == "No logs were copied: no stick was plugged in."


def test_a_serial_console_takes_letters_and_tells_them_when_asked() -> None:
    ours, theirs = os.openpty()
    pressed: list[tuple[Hotkey, str]] = []
    lent: set[str] = set()
    path = os.ttyname(theirs)
    menu = SerialMenu(
        [path, "/nonexistent"],
        lambda key, where: pressed.append((key, where)),
        lent.__contains__,
        hotkeys.menu(shells=True),
    )
    threading.Thread(target=menu.run, daemon=True).start()
    time.sleep(0.2)
    os.write(ours, b"s")
    _wait(lambda: pressed == [(Hotkey.SHUT_DOWN, path)])
    os.write(ours, b"?")
    assert b"keys: s shut down" in _read_until(ours, b"stick\r\n")
    lent.add(path)
    time.sleep(0.5)
    os.write(ours, b"l")
    time.sleep(0.7)
    assert pressed == [(Hotkey.SHUT_DOWN, path)], "it is for who has the port"
    assert os.read(theirs, 10) == b"l"


def _wait(until: object, seconds: float = 10.0) -> None:
    assert callable(until)
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def _read_until(fd: int, mark: bytes) -> bytes:
    got = b""
    while mark not in got:
        got += os.read(fd, 1024)
    return got

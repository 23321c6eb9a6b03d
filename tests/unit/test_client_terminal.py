"""The terminal writer on a pseudo-terminal: drawn in place, and only where something changed."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import struct
import termios
from collections.abc import Iterator

import pytest
from castclient.console import SerialConsole, TerminalScreen
from castclient.model import Model
from castclient.phases import Phase

MODEL = Model("0.1", phase=Phase.READY, server_url="https://192.0.2.1:8443")


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    """The reading end of a terminal, and the path of the other."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    yield reader, os.ttyname(writer)
    os.close(reader)
    os.close(writer)


def drawn(reader: int) -> bytes:
    """Everything written so far; a terminal hands it out in pieces."""
    os.set_blocking(reader, False)
    pieces = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reader, 1 << 16):
            pieces += piece
    return pieces


def test_unchanged_lines_are_not_drawn_again(pty: tuple[int, str]) -> None:
    reader, path = pty
    terminal = TerminalScreen(path)
    terminal.show(MODEL, 1.0)
    first = drawn(reader)
    assert b"Waiting for orders from the server" in first
    terminal.show(MODEL, 2.0)
    terminal.show(dataclasses.replace(MODEL, link_lost=True), 3.0)
    second = drawn(reader)
    assert b"The server is gone" in second
    assert b"FLEETCAST" not in second


def test_blocks_are_drawn_in_the_colour_of_the_letters(pty: tuple[int, str]) -> None:
    reader, path = pty
    TerminalScreen(path).show(MODEL, 1.0)
    shown = drawn(reader)
    assert b"#" not in shown
    assert b"\x1b[7m" + b" " * 8 + b"\x1b[27m" in shown


def test_no_key_of_the_terminal_stops_or_interrupts_us(pty: tuple[int, str]) -> None:
    _reader, path = pty
    TerminalScreen(path)
    with open(path, "rb", buffering=0) as terminal:
        settings = termios.tcgetattr(terminal)
    assert not settings[0] & termios.IXON
    assert not settings[3] & (termios.ISIG | termios.ECHO | termios.ICANON)


def test_a_held_console_holds_nothing_up_and_is_drawn_when_it_is_let_go(pty: tuple[int, str]) -> None:
    reader, path = pty
    terminal = TerminalScreen(path)
    with open(path, "rb", buffering=0) as held:
        termios.tcflow(held, termios.TCOOFF)
        for number in range(300):
            terminal.show(
                dataclasses.replace(MODEL, messages=(f"message {number} " + "x" * 60,) * 20), 1.0
            )
        termios.tcflow(held, termios.TCOON)
    drawn(reader)
    terminal.show(dataclasses.replace(MODEL, messages=("the last",)), 2.0)
    assert b"the last" in drawn(reader)


def test_the_console_is_never_scrolled(pty: tuple[int, str]) -> None:
    reader, path = pty
    TerminalScreen(path).show(dataclasses.replace(MODEL, messages=("x" * 200,) * 50), 1.0)
    shown = drawn(reader)
    assert b"\n" not in shown
    assert b"x" * 80 not in shown


def test_a_serial_console_that_nobody_reads_holds_nothing_up(pty: tuple[int, str]) -> None:
    console = SerialConsole(pty[1])
    for number in range(2000):
        console.show(dataclasses.replace(MODEL, problem=f"problem {number} " + "x" * 100), 1.0)

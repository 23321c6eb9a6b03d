"""A stream that nobody waits for, over streams that stop, and go on, and are gone."""

from __future__ import annotations

import io
import threading
import time

from castcore.edge.relay import Relay

SECONDS = 10.0


class Terminal(io.StringIO):
    """Takes nothing while it is ``stopped``."""

    def __init__(self) -> None:
        super().__init__()
        self.goes, self.asked = threading.Event(), threading.Event()

    def write(self, text: str, /) -> int:
        self.asked.set()
        assert self.goes.wait(SECONDS)
        return super().write(text)


def test_all_comes_in_its_order() -> None:
    stream = io.StringIO()
    with Relay(stream) as relay:
        for number in range(1000):
            print(number, file=relay, flush=True)
    assert stream.getvalue().split() == [str(number) for number in range(1000)]


def test_nobody_waits_for_a_stopped_terminal() -> None:
    terminal = Terminal()
    with Relay(terminal) as relay:
        relay.write("first\n")
        assert terminal.asked.wait(SECONDS)
        relay.write("second\n")  # returns: else this test would hang
        assert terminal.getvalue() == ""
        terminal.goes.set()
    assert terminal.getvalue() == "first\nsecond\n"


def test_what_was_too_much_is_counted_and_the_stream_goes_on() -> None:
    terminal = Terminal()
    with Relay(terminal, most=20) as relay:
        relay.write("first\n")
        assert terminal.asked.wait(SECONDS)
        for _ in range(10):
            relay.write("0123456789\n")
        relay.write("a\n")  # would find room, but stands after what is lost
        terminal.goes.set()
        end = time.monotonic() + SECONDS
        while "lines more" not in terminal.getvalue():
            assert time.monotonic() < end
            time.sleep(0.001)
        relay.write("later\n")
    lost = "(10 lines more, while nobody read this)\n"
    assert terminal.getvalue() == f"first\n0123456789\n{lost}later\n"


def test_a_stream_that_is_gone_is_no_failure() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise BrokenPipeError

    with Relay(Gone()) as relay:
        for _ in range(3):
            relay.write("nobody hears this\n")
            relay.flush()


def test_an_end_does_not_wait_for_a_terminal_that_stays_stopped() -> None:
    terminal = Terminal()
    relay = Relay(terminal)
    relay.write("first\n")
    relay.end()
    assert terminal.getvalue() == ""
    terminal.goes.set()

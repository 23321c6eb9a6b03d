"""A stream that nobody waits for: what is written to it is passed on by a thread of its own.

A terminal that was stopped (Ctrl+S, text being marked in its window), or a pipe that nobody reads, would
hold up whoever has something to say, with every lock that it has then.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

# Characters that may wait; what comes beyond is lost, and counted.
MOST_WAITING = 1 << 20
# What a stream may take for the rest, at the end.
END_SECONDS = 2.0


class Relay(io.TextIOBase):
    """Passes text on to ``stream``; one that fails is written to no more. Use it as a context manager.

    ``most``: so many characters wait for it; when it goes on it is told how many lines were lost.
    """

    def __init__(self, stream: TextIO, most: int = MOST_WAITING) -> None:
        self._stream, self._most = stream, most
        self._changed = threading.Condition()
        self._texts = deque[str]()
        self._waiting = self._lost = 0
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def write(self, text: str, /) -> int:
        """Take ``text`` to be passed on; never waits, never fails."""
        with self._changed:
            if self._waiting + len(text) > self._most or self._lost:
                self._lost += text.count("\n")
            else:
                self._texts.append(text)
                self._waiting += len(text)
                self._changed.notify()
        return len(text)

    def flush(self) -> None:
        """Nothing: text is passed on as soon as the stream takes it."""

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def end(self) -> None:
        """Pass on what is left, as far as the stream takes it soon."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.end()

    def _run(self) -> None:
        with suppress(OSError, ValueError):  # nobody is there any more; or it was closed
            while text := self._next():
                self._stream.write(text)
                self._stream.flush()

    def _next(self) -> str:
        """All that waits now, as soon as there is something; "" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._texts or self._lost or self._ending)
            text = "".join(self._texts)
            if self._lost:
                text += f"({self._lost} lines more, while nobody read this)\n"
            self._texts.clear()
            self._waiting = self._lost = 0
            return text

"""The serial console of a virtual PC: kept as a log with times, searchable while it grows."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import IO

# Firmware and our client's screen position the cursor; only the words matter here.
_CONTROL = re.compile(
    r"\x1b(\[[0-9;?=!]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>cM78])|[\x00\x07\x08\x0f]"
)
_BLOCK = 4096
_LONGEST_SEQUENCE = 16  # characters; what is longer is no control sequence


class SerialLog:
    """Reads ``stream`` until it ends; every line goes to ``path`` after the seconds since power-on."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._began = time.monotonic()
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f"serial {path.name}", daemon=True)
        self._thread.start()

    def search(self, pattern: re.Pattern[str], start: int = 0) -> re.Match[str] | None:
        """The first match of ``pattern`` in what was said from character ``start`` on."""
        with self._news:
            return pattern.search(self._text, start)

    def wait(self, pattern: re.Pattern[str], timeout: float, start: int = 0) -> re.Match[str] | None:
        """Like :meth:`search`, waiting up to ``timeout`` seconds, or until the console closes."""
        end = time.monotonic() + timeout
        with self._news:
            while (found := pattern.search(self._text, start)) is None:
                left = end - time.monotonic()
                if left <= 0 or self._ended:
                    return None
                self._news.wait(left)
            return found

    def text(self) -> str:
        """Everything that was said."""
        with self._news:
            return self._text

    def tail(self, lines: int = 12) -> list[str]:
        """The last ``lines`` non-empty lines."""
        with self._news:
            return [line for line in self._text.splitlines() if line.strip()][-lines:]

    def join(self) -> None:
        """Wait until everything said was read (after the PC's process has ended)."""
        self._thread.join(timeout=5)

    def _read(self) -> None:
        rest = line = ""
        with self._path.open("a") as log:
            while block := self._take():
                # A control sequence may be cut by the end of the block: it waits for the next one.
                said, rest = _split_at_escape(rest + block.decode(errors="replace"))
                said = _CONTROL.sub("", said).replace("\r", "\n")
                self._append(said)
                *whole, line = (line + said).split("\n")
                self._write(log, whole)
            self._write(log, [line])
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self) -> bytes:
        try:
            return self._stream.read1(_BLOCK)  # type: ignore[attr-defined, no-any-return]
        except ValueError:  # closed under us when the PC was ended
            return b""

    def _append(self, said: str) -> None:
        with self._news:
            self._text += said
            self._news.notify_all()

    def _write(self, log: IO[str], lines: list[str]) -> None:
        now = time.monotonic() - self._began
        for line in lines:
            if line.strip():
                log.write(f"{now:8.1f}  {line}\n")
        log.flush()


def _split_at_escape(text: str) -> tuple[str, str]:
    cut = text.rfind("\x1b", max(0, len(text) - _LONGEST_SEQUENCE))
    cut_off = cut >= 0 and _CONTROL.match(text, cut) is None
    return (text[:cut], text[cut:]) if cut_off else (text, "")

"""The line that is being typed, on all consoles together. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# Longer than any name, and one line of a screen with its question.
LONGEST = 100
_ENTER, _ESCAPE = b"\r\n", 0x1B
_BACKSPACE = (0x08, 0x7F)
_CLEAR = 0x15  # Ctrl+U
# What begins the code of a key that is no character (arrows, function keys).
_INTRODUCERS = (ord("["), ord("O"))

BACK = "back"


@dataclass
class Editor:
    """Takes what keys send; ``typed`` is the line so far. Anything but plain letters is passed over."""

    typed: str = ""
    _sequence: bool = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` ends; Esc alone is the line `BACK`."""
        found: list[str] = []
        for at, code in enumerate(data):
            if self._sequence:
                self._sequence = not 0x40 <= code <= 0x7E or code in _INTRODUCERS
            elif code == _ESCAPE:
                follows = data[at + 1 : at + 2]
                if follows and follows[0] in _INTRODUCERS:
                    self._sequence = True
                else:
                    self.typed = ""
                    found.append(BACK)
            elif code in _ENTER:
                # A terminal that sends both must not answer the next question too.
                if not (code == 0x0A and data[at - 1 : at] == b"\r"):
                    found.append(self.typed)
                    self.typed = ""
            else:
                self._edit(code)
        return found

    def _edit(self, code: int) -> None:
        if code in _BACKSPACE:
            self.typed = self.typed[:-1]
        elif code == _CLEAR:
            self.typed = ""
        elif 0x20 <= code <= 0x7E and len(self.typed) < LONGEST:
            self.typed += chr(code)

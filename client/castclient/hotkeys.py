"""Which keys do what: chords from key events of the kernel, letters from a serial console. Pure.

Key events are those of ``struct input_event`` (linux/input.h); a chord goes by the place of its keys, as
printed on a US, British, German or French keyboard.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import StrEnum


class Hotkey(StrEnum):
    """What a person asks for."""

    SHUT_DOWN = "shut down"
    SHELL = "shell"
    FILES = "files"
    LOGS = "logs"
    YES = "yes"
    NO = "no"


EVENT = struct.Struct("@llHHi")  # time (s, us), type, code, value
_KEY_EVENT = 1
_PRESSED, _RELEASED = 1, 0
_CTRL = frozenset((29, 97))
_ALT = frozenset((56, 100))
_CHORDS = {31: Hotkey.SHUT_DOWN, 46: Hotkey.SHELL, 18: Hotkey.FILES, 38: Hotkey.LOGS}
_ANSWERS = {28: Hotkey.YES, 96: Hotkey.YES, 1: Hotkey.NO}  # Enter, keypad Enter, Esc
SHELL_KEYS = (Hotkey.SHELL, Hotkey.FILES)

_LETTERS = {
    "s": Hotkey.SHUT_DOWN,
    "c": Hotkey.SHELL,
    "e": Hotkey.FILES,
    "l": Hotkey.LOGS,
    "y": Hotkey.YES,
    "n": Hotkey.NO,
}
_NAMES = (("S", "shut down"), ("C", "shell"), ("E", "files"), ("L", "logs to a stick"))


@dataclass
class Keyboard:
    """One keyboard: what it sends becomes hotkeys."""

    _held: set[int] = field(default_factory=set)

    def feed(self, data: bytes) -> list[Hotkey]:
        """The hotkeys that the whole events in ``data`` press; repeats are none."""
        found = []
        for _, _, kind, code, value in EVENT.iter_unpack(data[: len(data) // EVENT.size * EVENT.size]):
            if kind != _KEY_EVENT:
                continue
            hotkey = self._press(code) if value == _PRESSED else None
            if hotkey is not None:
                found.append(hotkey)
            if value == _RELEASED:
                self._held.discard(code)
        return found

    def _press(self, code: int) -> Hotkey | None:
        self._held.add(code)
        ctrl, alt = self._held & _CTRL, self._held & _ALT
        if ctrl and alt:
            return _CHORDS.get(code)
        return _ANSWERS.get(code) if not ctrl and not alt else None


def letter(typed: bytes) -> Hotkey | None:
    """The hotkey of the first byte ``typed`` on a serial console; None for one that means nothing."""
    return _LETTERS.get(typed[:1].decode("ascii", "replace").lower())


def legend(*, shells: bool) -> str:
    """The keys, for the screen's last line; without ``shells`` there is no shell and no explorer."""
    return "Ctrl+Alt+  " + "   ".join(f"{key} {what}" for key, what in _named(shells=shells))


def menu(*, shells: bool) -> str:
    """The letters, for a serial console."""
    return "keys: " + ", ".join(f"{key.lower()} {what}" for key, what in _named(shells=shells))


def _named(*, shells: bool) -> list[tuple[str, str]]:
    return [(key, what) for key, what in _NAMES if shells or key not in "CE"]

"""A person in front of a virtual PC: presses keys, reads the screen, plugs in sticks and keyboards.

The screen is that of VGA's text mode (a PC with BIOS): its memory holds each character and its colours.
The kernel scrolls by moving the screen in that memory; the card's own registers tell where it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castcore.errors import FleetcastError

from tests.vm import qmp
from tests.vm.machine import Running

# What a PC needs beside the usual: a port for sticks and keyboards.
HARDWARE = ("-device", "qemu-xhci,id=usb")
COLUMNS, ROWS = 80, 25
_TEXT_MEMORY = 0xB8000
# The card's index and data port, and where the place of the screen stands behind them, high byte first.
_INDEX, _DATA, _PLACE = 0x3D4, 0x3D5, (0x0C, 0x0D)
_LOOK_SECONDS = 0.5
# QEMU's names of keys that are no letter or digit.
_NAMED = {" ": "spc", "\n": "ret", "-": "minus", "/": "slash", ".": "dot", "=": "equal"}


class NotSeen(FleetcastError):
    """The screen never showed what it should have; the message holds what it did show."""


@dataclass(frozen=True)
class Cell:
    """One place of the screen: its character, and the number of the colour behind it."""

    letter: str
    behind: int


@dataclass
class Person:
    """Sits in front of ``running``."""

    running: Running

    def press(self, chord: str) -> None:
        """Press keys together, in QEMU's names: ``"ctrl-alt-c"``."""
        keys = [{"type": "qcode", "data": name} for name in chord.split("-")]
        qmp.execute(self.running.control, "send-key", keys=keys)

    def _place(self) -> int:
        """Where in the card's memory the screen begins, in characters."""
        before = self._monitor(f"i /1bx {_INDEX:#x}")
        place = 0
        for register in _PLACE:
            self._monitor(f"o /b {_INDEX:#x} {register:#x}")
            place = place << 8 | self._monitor(f"i /1bx {_DATA:#x}")
        self._monitor(f"o /b {_INDEX:#x} {before:#x}")
        return place

    def _monitor(self, command: str) -> int:
        """The number that QEMU's monitor answers; 0 when it says nothing."""
        words = {"command-line": command}
        said = str(qmp.execute(self.running.control, "human-monitor-command", **words))
        return int(said.rpartition("=")[2].strip() or "0", 16)

    def type(self, text: str) -> None:
        """Type lower-case ``text``, a key at a time."""
        for letter in text:
            self.press(_NAMED.get(letter, letter))
            time.sleep(0.15)

    def cells(self) -> list[Cell]:
        """What is on the screen, row by row."""
        control = self.running.control
        file = control.with_suffix(".vga")
        qmp.execute(control, "stop")  # the kernel uses the same registers
        try:
            start = _TEXT_MEMORY + 2 * self._place()
            size = COLUMNS * ROWS * 2
            qmp.execute(control, "pmemsave", val=start, size=size, filename=str(file))
        finally:
            qmp.execute(control, "cont")
        data = file.read_bytes()
        letters = data[::2].decode("cp437")
        return [Cell(a, colours >> 4 & 7) for a, colours in zip(letters, data[1::2], strict=True)]

    def screen(self) -> str:
        """The same as lines."""
        letters = "".join(cell.letter for cell in self.cells())
        lines = [letters[at : at + COLUMNS].rstrip(" \0") for at in range(0, len(letters), COLUMNS)]
        return "\n".join(lines)

    def sees(self, text: str, seconds: float = 60.0) -> str:
        """Wait until ``text`` is on the screen; return all of it. Raises NotSeen."""
        return self.waits(lambda shown: text in shown, seconds, text)

    def sees_no_more(self, text: str, seconds: float = 60.0) -> str:
        """Wait until ``text`` is not on the screen. Raises NotSeen."""
        return self.waits(lambda shown: text not in shown, seconds, f"no {text}")

    def waits(self, until: Callable[[str], bool], seconds: float, what: str) -> str:
        """Look until ``until`` holds for the screen; return it. Raises NotSeen."""
        end = time.monotonic() + seconds
        while not until(shown := self.screen()):
            if time.monotonic() > end:
                raise NotSeen(f"not seen within {seconds:.0f} s: {what}; there is\n{shown[:4000]}")
            time.sleep(_LOOK_SECONDS)
        return shown

    def colour_behind(self, text: str) -> int:
        """The colour behind ``text`` on the screen: 0 black, 1 blue, 2 green, 4 red, 6 brown."""
        cells = self.cells()
        at = "".join(cell.letter for cell in cells).index(text)
        return cells[at].behind

    def plug_in_stick(self, image: Path, name: str) -> None:
        """Put a USB stick with the contents of the file ``image`` in."""
        node = {"driver": "raw", "file": {"driver": "file", "filename": str(image)}}
        qmp.execute(self.running.control, "blockdev-add", **node, **{"node-name": name})
        stick = {"driver": "usb-storage", "id": name, "drive": name, "bus": "usb.0", "removable": True}
        qmp.execute(self.running.control, "device_add", **stick)

    def plug_in_keyboard(self) -> None:
        """Put a USB keyboard in; from then on keys are pressed on it."""
        keyboard = {"driver": "usb-kbd", "id": "keyboard", "bus": "usb.0"}
        qmp.execute(self.running.control, "device_add", **keyboard)

    def pull_out(self, name: str) -> None:
        """Take the stick ``name`` out."""
        qmp.execute(self.running.control, "device_del", id=name)

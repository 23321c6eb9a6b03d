"""Thin writers: the screen on a terminal, redrawn in place, and plain lines on serial consoles."""

from __future__ import annotations

import contextlib
import json
import os
import re
import termios
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from castclient import screen
from castclient.model import Model
from castclient.phases import Phase
from castclient.screen import Line, Tone

STEP_PERCENT = 10
_COLOURS = {
    Tone.TITLE: "0;37;40",
    Tone.CALM: "1;37;44",
    Tone.BUSY: "0;30;43",
    Tone.GOOD: "1;37;42",
    Tone.BAD: "1;37;41",
    Tone.NOTICE: "0;30;47",
    Tone.QUESTION: "0;30;47",
}
# Colours of this one console (console_codes(4)): deep below white, amber below black, a full white.
_COLOUR_VALUES = {1: "a81c1c", 2: "14783c", 3: "f0ac28", 4: "1c4890", 7: "f4f4f4"}
_PALETTE = "".join(f"\x1b]P{number}{rgb}" for number, rgb in _COLOUR_VALUES.items())
_BLOCKS = re.compile("#+")
_BLANK = "\x1b[?25l\x1b[0m\x1b[2J"  # no cursor, nothing on it
_BARE = re.compile(r"[!#-<>-~]+")


@dataclass
class PlainLines:
    """Turns models into the stable lines of ``docs/client.md``: a state, 10 % of a cast, the link."""

    _said: tuple[str | int | bool, ...] = ()

    def lines(self, model: Model, up: float) -> list[str]:
        """The lines due for ``model``, ``up`` seconds after the machine started."""
        cast = model.cast
        tenth = cast.percent // STEP_PERCENT if cast is not None else 0
        detail = cast.detail if cast is not None else ""
        asked = (model.question, model.notice)
        now = (model.state, tenth, detail, model.problem, model.kept_out, model.link_lost, *asked)
        if now == self._said:
            return []
        self._said = now
        return [plain_line(_fields(model, up))]


def plain_line(fields: dict[str, str | int]) -> str:
    """``fields`` as one line; a value that is not one plain word is a JSON string."""
    return "fleetcast: " + " ".join(f"{name}={_value(str(v))}" for name, v in fields.items())


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _fields(model: Model, up: float) -> dict[str, str | int]:
    fields: dict[str, str | int] = {"state": model.state, "up": f"{up:.1f}"}
    if model.server_url:
        fields |= {"server": model.server_url, "code": model.server_words}
    if model.client:
        fields["client"] = model.client
    cast = model.cast
    if cast is not None:
        fields |= {"cast": cast.cast, "done": cast.done, "total": cast.total, "percent": cast.percent}
        if cast.detail:
            fields["detail"] = cast.detail
        if cast.root:
            fields |= {
                "root": cast.root,
                "written": cast.written,
                "multicast": cast.multicast,
                "unicast": cast.unicast,
                "peers": cast.peers,
                "repaired": cast.repaired,
                "seconds": cast.seconds,
            }
    return fields | _said_fields(model)


def _said_fields(model: Model) -> dict[str, str | int]:
    """What is said to a person beside the figures."""
    fields: dict[str, str | int] = {}
    if model.link_lost:
        fields["link"] = "lost"
    if model.kept_out:
        fields |= {"message": model.kept_out, "machine-code": model.machine_words}
    if model.problem:
        fields["message"] = model.problem
    if model.phase is Phase.FAILED and model.retry_at:
        fields["retry"] = model.retry_in
    if model.question:
        fields["question"] = model.question
    elif model.notice:
        fields["notice"] = model.notice
    return fields


class SerialConsole:
    """Plain lines on a serial port (or any file); one that takes nothing never holds us up.

    While ``lent`` holds, a shell has the port: nothing is written.
    """

    def __init__(self, path: str, lent: Callable[[], bool] = lambda: False) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._plain, self._lent = PlainLines(), lent

    def show(self, model: Model, up: float) -> None:
        """Write the lines due."""
        if self._lent():
            return
        for line in self._plain.lines(model, up):
            with contextlib.suppress(OSError):  # nobody reads at the other end
                os.write(self._fd, f"\r\n{line}\r\n".encode(errors="replace"))


class TerminalScreen:
    """The whole screen of a Linux console, drawn again only where it changed.

    No key of it can stop us: Ctrl+S, Ctrl+C and their kin are plain keys, and a console that is held
    (Scroll Lock) is drawn when it is let go.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        _make_deaf(self._fd)
        self._drawn: list[Line] = []
        self._write(_PALETTE + _BLANK)

    def show(self, model: Model, up: float) -> None:  # noqa: ARG002 - both writers take the same
        """Draw ``model``."""
        self.draw(screen.render(model, *self.size()))

    def draw(self, lines: list[Line]) -> None:
        """Draw ``lines``, which fill the screen (:meth:`size`)."""
        width = self.size()[0]
        if len(lines) != len(self._drawn):
            self._drawn = [_NOTHING] * len(lines)
        # The last column is only cleared, in the line's colour: a character there may scroll it all.
        text = "".join(
            f"\x1b[{row};1H\x1b[{_COLOURS[line.tone]}m{_drawable(line, width - 1)}\x1b[K\x1b[0m"
            for row, (line, before) in enumerate(zip(lines, self._drawn, strict=True), 1)
            if line != before
        )
        if not text or self._write(text):
            self._drawn = lines
        else:
            self._drawn = []  # it took a part, or nothing: all of it the next time

    def size(self) -> tuple[int, int]:
        """Columns and lines; the usual ones of a terminal that does not tell, or is tiny."""
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return screen.WIDTH, screen.HEIGHT
        usable = size.columns >= 40 and size.lines >= 15
        return (size.columns, size.lines) if usable else (screen.WIDTH, screen.HEIGHT)

    def _write(self, text: str) -> bool:
        data = text.encode(errors="replace")
        try:
            return os.write(self._fd, data) == len(data)
        except OSError:
            return False


_NOTHING = Line("", Tone.TITLE)


def _drawable(line: Line, width: int) -> str:
    """The text of ``line``, its blocks as blanks in the colour of its letters."""
    text = line.text[:width]
    if not line.solid:
        return text
    return _BLOCKS.sub(lambda found: f"\x1b[7m{' ' * len(found[0])}\x1b[27m", text)


def _make_deaf(fd: int) -> None:
    """Have the terminal ``fd`` send no signals, hold nothing, echo nothing."""
    with contextlib.suppress(termios.error):  # not a terminal
        settings = termios.tcgetattr(fd)
        settings[0] &= ~termios.IXON
        settings[3] &= ~(termios.ISIG | termios.ECHO | termios.ICANON)
        termios.tcsetattr(fd, termios.TCSANOW, settings)


Show = Callable[[Model, float], None]


def open_consoles(
    screen_path: str, serial: tuple[str, ...], lent: Callable[[str], bool] = lambda _path: False
) -> tuple[list[Show], list[Show]]:
    """Writers: of the terminal, and of each serial port that can be opened; ``lent`` ones rest."""
    screens: list[Show] = []
    lines: list[Show] = []
    with contextlib.suppress(OSError):
        screens.append(TerminalScreen(screen_path).show)
    for name in serial:
        with contextlib.suppress(OSError):
            path = f"/dev/{name}"
            lines.append(SerialConsole(path, partial(lent, path)).show)
    return screens, lines

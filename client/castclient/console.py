"""Thin writers: the screen on a terminal, redrawn in place, and plain lines on serial consoles."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from castclient import screen
from castclient.model import Model
from castclient.screen import Line, Tone

STEP_PERCENT = 10
_COLOURS = {
    Tone.PLAIN: "0",
    Tone.TITLE: "1;37;44",
    Tone.CALM: "1;37;44",
    Tone.BUSY: "0;30;43",
    Tone.GOOD: "1;37;42",
    Tone.BAD: "1;37;41",
}
_BARE = re.compile(r"[!#-<>-~]+")


@dataclass
class PlainLines:
    """Turns models into the stable lines of ``docs/client.md``: a state, 10 % of a cast, the link."""

    _said: tuple[str, int, str, str, bool] = ("", 0, "", "", False)

    def lines(self, model: Model, up: float) -> list[str]:
        """The lines due for ``model``, ``up`` seconds after the machine started."""
        cast = model.cast
        tenth = cast.percent // STEP_PERCENT if cast is not None else 0
        detail = cast.detail if cast is not None else ""
        now = (model.state, tenth, detail, model.problem, model.link_lost)
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
    if model.link_lost:
        fields["link"] = "lost"
    if model.problem:
        fields["message"] = model.problem
    return fields


class SerialConsole:
    """Plain lines on a serial port (or any file); one that takes nothing never holds us up."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._plain = PlainLines()

    def show(self, model: Model, up: float) -> None:
        """Write the lines due."""
        for line in self._plain.lines(model, up):
            with contextlib.suppress(OSError):  # nobody reads at the other end
                os.write(self._fd, f"\r\n{line}\r\n".encode(errors="replace"))


class TerminalScreen:
    """The whole screen of a Linux console, drawn again only where it changed."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        self._drawn: list[Line] = []
        self._write("\x1b[?25l\x1b[2J")  # no cursor, blank screen

    def show(self, model: Model, up: float) -> None:  # noqa: ARG002 - both writers take the same
        """Draw ``model``."""
        width, height = self._size()
        lines = screen.render(model, width, height)
        if len(lines) != len(self._drawn):
            self._drawn = [Line("")] * len(lines)
        # The last column stays empty: writing into it can scroll the console.
        text = "".join(
            f"\x1b[{row};1H\x1b[{_COLOURS[line.tone]}m{line.text[: width - 1]}\x1b[K\x1b[0m"
            for row, (line, before) in enumerate(zip(lines, self._drawn, strict=True), 1)
            if line != before
        )
        if text:
            self._write(text)
        self._drawn = lines

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return screen.WIDTH, screen.HEIGHT
        usable = size.columns >= 40 and size.lines >= 15
        return (size.columns, size.lines) if usable else (screen.WIDTH, screen.HEIGHT)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())


Show = Callable[[Model, float], None]


def open_consoles(screen_path: str, serial: tuple[str, ...]) -> list[Show]:
    """A writer for the terminal and each serial port that can be opened."""
    shows: list[Show] = []
    with contextlib.suppress(OSError):
        shows.append(TerminalScreen(screen_path).show)
    for name in serial:
        with contextlib.suppress(OSError):
            shows.append(SerialConsole(f"/dev/{name}").show)
    return shows

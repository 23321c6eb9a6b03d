"""What stands on the screen while a person chooses, as a value; and a typed line against it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from castclient.bigletters import big
from castclient.screen import Line, Tone

_FOOT = "Type a number or a word, then Enter."
_WORD = 12


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: the ``word`` that stands for it, and what a person reads."""

    word: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the dialogue: ``name`` is its stable word on serial consoles, ``ask`` what is asked.

    ``problem`` is what went wrong before; ``fields`` are further stable words of the serial line;
    ``large`` is a word to be read across the room.
    """

    name: str
    headline: str
    tone: Tone = Tone.CALM
    lines: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    ask: str = _FOOT
    problem: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    large: str = ""

    @property
    def body(self) -> list[str]:
        """All that stands below the headline, unwrapped."""
        problem = [f"! {self.problem}", ""] if self.problem else []
        choices = [f"{n:>3}  {c.word:<{_WORD}} {c.text}" for n, c in enumerate(self.choices, 1)]
        between = [""] if self.lines and self.choices else []
        return [*problem, *self.lines, *between, *choices]


def picked(choices: Sequence[Choice], typed: str) -> Choice | None:
    """The choice that ``typed`` names by its number or its word (any case); None for none."""
    text = typed.strip()
    if text.isdecimal() and text.isascii() and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1]
    return next((c for c in choices if c.word.lower() == text.lower()), None)


def rendered(page: Page, typed: str, width: int, height: int, offset: int = 0) -> list[Line]:
    """``page`` as exactly ``height`` lines of ``width`` characters, its body from line ``offset`` on."""
    body = wrapped(page.body, width - 2)
    head = _head(page, width, height)
    shown = body[offset : offset + height - 1 - len(head)]
    more = len(body) - offset - len(shown)
    foot = f" {page.ask} {f'({more} more lines: Enter) ' if more else ''}> {typed}_"
    lines = [*head, *(Line(f" {text}", page.tone) for text in shown)]
    lines += [Line("", page.tone)] * (height - 1 - len(lines))
    lines.append(Line(foot[-width:] if len(foot) > width else foot, Tone.QUESTION))
    return [
        Line(clean(line.text)[:width].ljust(width), line.tone, line.solid) for line in lines[:height]
    ]


def _head(page: Page, width: int, height: int) -> list[Line]:
    """What stands above the body, whose room it leaves."""
    title = Line(" FLEETCAST  this machine and its deploy medium", Tone.TITLE)
    rows = big(page.large, width - 4, height // 4) if page.large else []
    large = [Line(row.center(width).rstrip(), page.tone, solid=True) for row in rows]
    blank = Line("", page.tone)
    return [
        title,
        blank,
        *large,
        *([blank] if large else []),
        Line(f"  {page.headline}", page.tone),
        blank,
    ]


def room_of(page: Page, width: int, height: int) -> int:
    """How many lines of the body of ``page`` such a screen shows."""
    return max(height - 1 - len(_head(page, width, height)), 1)


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """``lines`` with those that are too long continued, indented, on the next."""
    found: list[str] = []
    for line in lines:
        rest = line
        while len(rest) > width:
            cut = rest.rfind(" ", width // 2, width) + 1 or width
            found.append(rest[:cut].rstrip())
            rest = "    " + rest[cut:]
        found.append(rest)
    return found


def clean(text: str) -> str:
    """``text`` without what would steer a terminal: labels come from disks we do not know."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)

"""The commands that README and docs tell people to run, read out of their Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("fleetcast", "media-builder", "fleetcast-client")
_FENCE = re.compile(r"^```(?P<kind>\w*)")
# Pictures of how the parts meet.
_DRAWN = re.compile(r"[\u2500-\u257f]")
_INLINE = re.compile(rf"`((?:sudo )?(?:\.venv/bin/)?(?:{'|'.join(PROGRAMS)}) [^`]+)`")
# Two commands stand side by side, and what one does behind it, with two spaces between.
_COLUMNS = re.compile(r"\s{2,}")
_FRONT = re.compile(r"^(?:sudo )?(?:\.venv/bin/)?")
# Where the shell takes over: its operators, and its comment.
_SHELL = re.compile(r"\s(?:[|>&]|2>|#).*$")


@dataclass(frozen=True)
class Told:
    """A command as a page tells it: ``words`` begin with the program.

    One in a block of code is ``whole``; a sentence may name no more than the command and an option.
    """

    page: str
    line: int
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


def pages() -> list[Path]:
    """Every page for people, in the order of their names."""
    found = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("drivers/*.md")]
    return sorted([*found, *ROOT.glob("core/castcore/*/*.md")])


def told(page: Path) -> list[Told]:
    """Every command of our programs on ``page``, in blocks of code and in sentences."""
    name, text = str(page.relative_to(ROOT)), page.read_text()
    found = [(*one, True) for one in _of_blocks(text)] + [(*one, False) for one in _of_sentences(text)]
    return [Told(name, number, words, whole) for number, said, whole in found if (words := _words(said))]


def shell_blocks(page: Path) -> list[str]:
    """The blocks marked ``sh`` on ``page``, as they stand."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def _of_blocks(text: str) -> Iterator[tuple[int, str]]:
    fence, whole, began = None, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if (found := _FENCE.match(line)) is not None:
            fence = found["kind"] if fence is None else None
            continue
        typed = fence == "sh" or (fence is None and line.startswith("    "))
        if not typed or _DRAWN.search(line):
            continue
        began = began if whole else number
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        yield from ((began, part) for part in _COLUMNS.split(whole))
        whole = ""


def _of_sentences(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        yield from ((number, found[1]) for found in _INLINE.finditer(line))


def _words(text: str) -> tuple[str, ...]:
    """The words of a command of ours, () where ``text`` is none."""
    plain = _SHELL.sub("", _FRONT.sub("", text))
    if not plain.startswith(tuple(f"{program} " for program in PROGRAMS)):
        return ()
    return tuple(shlex.split(plain))

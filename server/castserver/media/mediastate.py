"""Which deploy medium is used: the one connected last, until it is pulled out. Pure.

A medium that is pulled while it is used, or while a cast runs from it, leaves the server with *no
medium*, whatever else is connected, until one is connected again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from castcore.medium import IMAGES, PXE_TREE


class MediaState(StrEnum):
    """How it stands with deploy media, in the words of the console."""

    NONE = "no medium"
    CONNECTED = "medium connected"


@dataclass(frozen=True)
class Medium:
    """A connected deploy medium; ``where`` is its device or file, ``key`` tells one connection apart.

    ``problem`` says why it cannot be used, "" when it can; then ``root`` is where it is mounted, and its
    licence ledger is the ``ledger_size`` bytes from ``ledger_at`` of ``where``.
    """

    key: str
    where: str
    id: str = ""
    name: str = ""
    serial: str = ""
    size: int = 0
    root: str = ""
    ledger_at: int = 0
    ledger_size: int = 0
    problem: str = ""


@dataclass(frozen=True)
class MediaNow:
    """All that is ``connected``, in the order it came, and the key of the one ``used`` ("": none).

    ``why`` says what became of the last one that was used.
    """

    connected: tuple[Medium, ...] = ()
    used: str = ""
    why: str = ""

    @property
    def state(self) -> MediaState:
        """The state in one word."""
        return MediaState.CONNECTED if self.used else MediaState.NONE

    @property
    def medium(self) -> Medium | None:
        """The one that is used."""
        return self.get(self.used)

    def get(self, key: str) -> Medium | None:
        """The connected medium with this ``key``."""
        return next((one for one in self.connected if one.key == key), None)


def came(now: MediaNow, medium: Medium) -> MediaNow:
    """``medium`` was connected, or is looked at anew: it is used, if it can be."""
    others = tuple(one for one in now.connected if one.key != medium.key)
    if medium.problem:
        return replace(now, connected=(*others, medium))
    return MediaNow((*others, medium), medium.key)


def went(now: MediaNow, key: str, *, casting: bool) -> MediaNow:
    """The medium ``key`` was pulled out; ``casting``: a cast ran from it."""
    gone = now.get(key)
    others = tuple(one for one in now.connected if one.key != key)
    if gone is None or (now.used != key and not casting):
        return replace(now, connected=others)
    return MediaNow(others, "", f"medium {gone.name} was pulled out")


def images_of(medium: Medium) -> Path:
    """The store of images on a mounted ``medium``."""
    return Path(medium.root) / IMAGES


def tree_of(medium: Medium) -> Path:
    """Where a mounted ``medium`` has a PXE tree, if it carries one."""
    return Path(medium.root) / PXE_TREE

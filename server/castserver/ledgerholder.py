"""Where licence ledgers are: what whoever watches for media tells the licensing of casts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class HeldLedger:
    """The ledger of a medium that is connected now: ``size`` bytes at ``offset`` of ``path``.

    ``medium`` is its name for people, ``serial`` its disk's serial number ("": none), ``files`` the
    directory of licence files on it, None without one.
    """

    medium: str
    path: Path
    offset: int
    size: int
    serial: str
    files: Path | None = None


class LedgerHolder(Protocol):
    """The media of a server. Both calls are quick and may come from any thread."""

    def places(self) -> tuple[HeldLedger, ...]:
        """The ledger of each medium that is connected and in use now."""
        ...

    def place_of(self, image: str) -> HeldLedger | None:
        """That of the medium that the library's ``image`` lies on; None: no medium, or none with one."""
        ...


class NoLedgers:
    """A server without media."""

    def places(self) -> tuple[HeldLedger, ...]:
        """None."""
        return ()

    def place_of(self, _image: str) -> HeldLedger | None:
        """None."""
        return None

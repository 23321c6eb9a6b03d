"""Where licence ledgers are: what whoever watches for media tells the licensing of casts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from castcore.medium import LICENCES

from castserver.media.media import Media


@dataclass(frozen=True)
class HeldLedger:
    """The ledger of a medium that is connected now: ``size`` bytes at ``offset`` of ``path``.

    ``key`` tells one connection of the medium apart, ``medium`` is its name for people, ``serial`` its
    disk's serial number, ``files`` the directory of licence files on it, None without one.
    """

    key: str
    medium: str
    path: Path
    offset: int
    size: int
    serial: str
    files: Path | None = None


class LedgerHolder(Protocol):
    """The media of a server."""

    def places(self) -> tuple[HeldLedger, ...]:
        """The ledger of each medium that is connected now. Quick; from any thread."""
        ...


class NoLedgers:
    """A server without media."""

    def places(self) -> tuple[HeldLedger, ...]:
        """None."""
        return ()


class MediaLedgers:
    """The ledgers of the deploy media that are connected."""

    def __init__(self, media: Media) -> None:
        self._media = media

    def places(self) -> tuple[HeldLedger, ...]:
        """The ledger of each medium that is connected now."""
        return tuple(
            HeldLedger(
                one.key,
                one.name,
                Path(one.where),
                one.ledger_at,
                one.ledger_size,
                one.serial,
                Path(one.root) / LICENCES,
            )
            for one in self._media.now.connected
            if not one.problem
        )

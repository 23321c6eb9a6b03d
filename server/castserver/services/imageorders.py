"""What the boot services know of boot images that machines are to boot once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from castcore.boot import BootImage

from castserver.services.steadyfile import FileMark, SteadyFile


@dataclass(frozen=True)
class ImageOrder:
    """One machine's order to boot ``image``, whose file is ``path``; ``used``: it has begun to."""

    id: str
    image: BootImage
    path: Path
    used: bool

    def open(self) -> SteadyFile:
        """The image as it was when it was ordered. Raises OSError: gone, or changed since."""
        return SteadyFile(self.path, FileMark(self.image.size, self.image.changed))


class ImageOrders(Protocol):
    """The orders; called from several threads."""

    def newest(self, mac: str, uuid: str) -> ImageOrder | None:
        """The last order of the machine with that MAC and SMBIOS UUID ("": unknown), used or not."""
        ...

    def find(self, order: str) -> ImageOrder | None:
        """The order with that id."""
        ...

    def use(self, order: str) -> None:
        """The machine has got what it asked for of the image: it boots it now, and not again."""
        ...

    def drop(self, order: str) -> None:
        """The machine cannot boot the image: it boots what it had."""
        ...


class NoOrders:
    """Nothing is ordered."""

    def newest(self, mac: str, uuid: str) -> ImageOrder | None:  # noqa: ARG002
        """Nothing."""
        return None

    def find(self, order: str) -> ImageOrder | None:  # noqa: ARG002
        """Nothing."""
        return None

    def use(self, order: str) -> None:
        """Nothing to do."""

    def drop(self, order: str) -> None:
        """Nothing to do."""


NO_ORDERS = NoOrders()

"""What there is at this machine: its disks, the medium, and what has been found out of them. Frozen."""

from __future__ import annotations

from dataclasses import dataclass

from castcore.control import Machine
from castcore.disk import DiskFacts, DiskLayout
from castcore.image import Manifest


@dataclass(frozen=True, slots=True)
class StoredHere:
    """An image of the medium; ``problem`` says why it is no good, with ``manifest`` None."""

    name: str
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LicenceCount:
    """A licence in the medium's ledger: for which images, and how many are ``left``."""

    product: str
    left: int
    expired: bool = False


@dataclass(frozen=True, slots=True)
class MediumNow:
    """The deploy medium as it is; sizes in bytes. ``licences`` () means that none is asked for, unless
    ``problem`` says what is wrong with its ledger.
    """

    device: str
    name: str
    size: int
    free: int
    images: tuple[StoredHere, ...] = ()
    licences: tuple[LicenceCount, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Here:
    """This machine; ``medium`` is None, and ``problem`` says why, where there is no usable one."""

    machine: Machine
    disks: tuple[DiskFacts, ...] = ()
    medium: MediumNow | None = None
    problem: str = ""
    day: str = ""

    def others(self) -> tuple[DiskFacts, ...]:
        """The disks that are not the medium."""
        device = self.medium.device if self.medium is not None else ""
        return tuple(d for d in self.disks if d.path != device and not d.boot_medium)


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a capture would take: each disk's layout, and ``used`` bytes in all."""

    layouts: tuple[DiskLayout, ...]
    used: int


@dataclass(frozen=True, slots=True)
class ServerHere:
    """A server found for a capture, by ``number``; ``code`` are the four words of its key."""

    number: int
    name: str
    url: str
    code: str


@dataclass(frozen=True, slots=True)
class WorkNow:
    """How far long work is: bytes, bytes a second, seconds left (None: cannot be said)."""

    step: str
    done: int = 0
    total: int = 0
    rate: int = 0
    eta: int | None = None
    detail: str = ""

    @property
    def percent(self) -> int:
        """Whole percent of this step; 0 while its total is unknown."""
        return min(100, self.done * 100 // self.total) if self.total else 0

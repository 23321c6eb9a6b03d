"""Using a deploy medium: its data partition mounted, and where its ledger lies."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from castcore.disk import Extent, Partition
from castcore.edge.disk.contents import probe_region
from castcore.edge.disk.loopdevice import read_only_loop, writable_loop
from castcore.edge.image.store import read_file
from castcore.edge.medium.finding import FoundMedium, medium_at
from castcore.edge.medium.mounting import mounted
from castcore.errors import DiskFailed, NotFound
from castcore.medium import (
    IMAGES,
    LICENCES,
    MEDIUM_FILE,
    MEDIUM_LIMIT,
    PXE_TREE,
    DataFileSystem,
    MediumInfo,
    parse_info,
)

SYS_SECTOR = 512
SYS = Path("/sys/dev/block")


class LedgerPlace(NamedTuple):
    """The ledger's bytes: ``size`` of them from byte ``offset`` of the disk or file ``path``."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class OpenMedium:
    """A deploy medium whose data partition is mounted at ``root``, read-only unless ``writable``.

    ``serial`` is what its ledger is bound to.
    """

    root: Path
    info: MediumInfo
    ledger: LedgerPlace
    serial: str
    found: FoundMedium
    writable: bool = False

    @property
    def images(self) -> Path:
        """Its store of images."""
        return self.root / IMAGES

    @property
    def licences(self) -> Path:
        """Where its licence files are."""
        return self.root / LICENCES

    @property
    def pxe_tree(self) -> Path:
        """The PXE tree it carries."""
        return self.root / PXE_TREE


@contextmanager
def open_medium(path: str | os.PathLike[str], *, writable: bool = False) -> Iterator[OpenMedium]:
    """The deploy medium in the disk, loop device or image file ``path``, until the block is left.

    Read-only not a byte of it changes, not even to replay a journal. Raises NotFound (it is no
    deploy medium), DiskFailed, BadImage (its ``medium.json`` is damaged), MissingProgram, ProgramFailed.
    """
    found = medium_at(path)
    if found is None:
        raise NotFound(
            f"{os.fspath(path)} is no deploy medium",
            hint="`media-builder deploy-media` makes one",
        )
    with data_mounted(found, writable=writable) as root:
        ledger = LedgerPlace(found.device, found.ledger.start, found.ledger.length)
        info = parse_info(read_file(root / MEDIUM_FILE, MEDIUM_LIMIT))
        yield OpenMedium(root, info, ledger, found.serial, found, writable)


@contextmanager
def data_mounted(found: FoundMedium, *, writable: bool) -> Iterator[Path]:
    """Where the data partition of ``found`` is mounted, whatever is in it. Raises as open_medium."""
    extent = found.parts.data.extent
    filesystem = _filesystem(found.device, extent)
    with (
        _block_device(found.device, found.parts.data, writable=writable) as device,
        mounted(device, filesystem, writable=writable) as root,
    ):
        yield root


def partition_node(device: str, partition: Partition) -> str | None:
    """The kernel's device node of ``partition`` of ``device``; None when it has none there.

    A node of that number elsewhere on the disk is of an older table, and none. Raises DiskFailed: the
    disk is gone, or the kernel reads its table anew.
    """
    try:
        return _node(device, partition)
    except (OSError, ValueError) as error:
        raise DiskFailed(f"{device}: its partitions cannot be told: {error}") from None


def _node(device: str, partition: Partition) -> str | None:
    status = os.stat(device)
    if not stat.S_ISBLK(status.st_mode):
        return None
    disk = SYS / f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    for entry in disk.glob("*/partition"):
        part = entry.parent
        place = (int((part / "start").read_text()), int((part / "size").read_text()))
        if place == (partition.start // SYS_SECTOR, partition.length // SYS_SECTOR):
            node = Path("/dev") / part.name
            return str(node) if node.exists() else None
    return None


@contextmanager
def _block_device(device: str, partition: Partition, *, writable: bool) -> Iterator[str]:
    """A block device that is ``partition``: the kernel's own, or a loop device over its bytes."""
    node = partition_node(device, partition)
    if node is not None:
        yield node
        return
    with (writable_loop if writable else read_only_loop)(device, partition.extent) as loop:
        yield loop


def _filesystem(device: str, extent: Extent) -> DataFileSystem:
    found = probe_region(device, extent)
    try:
        return DataFileSystem(found.fstype)
    except ValueError:
        what = found.trouble or found.fstype or "nothing that is known"
        raise DiskFailed(
            f"{device}: its data partition holds {what}",
            hint="make the medium anew: what was on it is lost",
        ) from None

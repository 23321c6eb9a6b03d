"""The durable record of a restore under way: which chunks survive a power cut on its targets.

It is a hint for `fleetcast restore --resume`, which reads every chunk it names back from the disk
and believes only those that are right. A record that is damaged or of another image is none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from castcore import canonical
from castcore.cast.chunkset import ChunkSet
from castcore.disk import DiskFacts
from castcore.edge.image.store import sync_directory, writing_to
from castcore.errors import BadPacket
from castcore.trust import short_digest

RECORDS_VARIABLE = "FLEETCAST_RECORDS"
DEFAULT_RECORDS = "/var/lib/fleetcast/restores"
# Bounds what is read: the bits of two million chunks (2 TiB in use), as hex digits.
LIMIT = 1 << 20


def default_records() -> Path:
    """Where the records of this machine's restores are kept."""
    return Path(os.environ.get(RECORDS_VARIABLE) or DEFAULT_RECORDS)


class RestoreRecord:
    """What a restore of the image with ``root`` to ``targets`` has made durable so far."""

    def __init__(self, folder: Path, root: bytes, targets: Sequence[DiskFacts]) -> None:
        self._root = root
        self._disks = [[facts.stable_id or facts.path, facts.size] for facts in targets]
        name = short_digest(canonical.encode([root.hex(), self._disks]), 16).hex()
        self._path = folder / f"{name}.json"

    def load(self, count: int) -> ChunkSet | None:
        """The chunks that were durable, of ``count``; None: there is no such restore."""
        with suppress(OSError, BadPacket, ValueError, KeyError, TypeError):
            with self._path.open("rb") as file:
                value = canonical.decode(file.read(LIMIT), limit=LIMIT)
            if value["image"] == self._root.hex() and value["disks"] == self._disks:
                return ChunkSet.decode(bytes.fromhex(value["held"]), count)
        return None

    def save(self, held: ChunkSet) -> None:
        """From now on ``held`` is durable, and nothing else. Raises NoSpace, DiskFailed."""
        data = canonical.encode(
            {"image": self._root.hex(), "disks": self._disks, "held": held.encode().hex()}
        )
        part = self._path.with_suffix(".part")
        with writing_to(self._path.parent, "another directory"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            sync_directory(self._path.parent)

    def remove(self) -> None:
        """The restore is complete: forget it."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

"""Which chunks of an image are durable on which machine's disk: what a restarted client resumes from.

One record per machine and disk, of the image written there last. Growth is written to the database in
one transaction for all machines, a few seconds late: that costs a resuming machine a few seconds of
its work. What takes something back is written at once, before the disk changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from castcore.cast.chunkset import ChunkSet

from castserver.database.database import Database
from castserver.database.tables import DurableRow

SAVE_SECONDS = 5.0


@dataclass(frozen=True)
class _Record:
    root: str
    chunks: ChunkSet


class Durables:
    """The records; every method may be called from any thread. Raises NoSpace, DiskFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._rows = {(row.machine, row.target): row for row in database.all(DurableRow)}
        self._records: dict[tuple[str, str], _Record] = {}
        self._grown: set[tuple[str, str]] = set()
        self._saved = time.monotonic()

    def recall(self, machine: str, target: str, root: str) -> bytes:
        """The chunks of the image ``root`` that are durable there (b"": none, or another image)."""
        with self._lock:
            row = self._rows.get((machine, target))
            return row.chunks if row is not None and row.root == root else b""

    def remember(self, machine: str, target: str, root: str, chunks: ChunkSet) -> None:
        """These and no others are durable there from now on."""
        at, now = (machine, target), int(time.time())
        row = DurableRow(machine=machine, target=target, root=root, chunks=chunks.encode(), changed=now)
        with self._lock:
            before = self._records.get(at)
            grows = before is not None and before.root == root and not before.chunks - chunks
            if not grows:  # before anybody believes it, and before what it tells of is done
                self._database.save(row)
            self._rows[at], self._records[at] = row, _Record(root, chunks)
            if grows:
                self._grown.add(at)
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save()

    @contextmanager
    def forgetting(self, machine: str) -> Iterator[Collection[DurableRow]]:
        """A cast to this machine is proven: its disks are its own again, and will change. Whoever calls
        saves the rows that say so, with what else is so by that.
        """
        with self._lock:
            rows = {
                at: DurableRow(
                    machine=machine, target=at[1], root="", chunks=b"", changed=int(time.time())
                )
                for at, row in self._rows.items()
                if at[0] == machine and row.chunks
            }
            yield rows.values()
            self._rows |= rows
            self._grown -= rows.keys()
            for at in rows:
                self._records.pop(at, None)

    def save(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            if self._grown:
                self._save()

    def _save(self) -> None:
        self._database.save(*(self._rows[at] for at in self._grown))
        self._grown.clear()
        self._saved = time.monotonic()

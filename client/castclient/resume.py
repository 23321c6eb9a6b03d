"""What a machine's disk holds of a cast already, and telling the server what it holds by now.

A machine that restarts in the middle of a cast goes on where it was: the server remembers the chunks
that were durable on this disk. What it says is checked against the disk before it is believed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import SystemRandom
from types import TracebackType
from typing import Protocol, Self

from castcore.cast.chunkset import ChunkSet
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.heldchunks import believed_chunks, held_chunks
from castcore.errors import BadPacket, FleetcastError
from castcore.image import Index, Manifest
from castcore.progress import ProgressCallback

KEEP_SECONDS = 10.0


class Memory(Protocol):
    """What the server remembers of this machine's disks in a cast; raises NetworkFailed, NotFound."""

    def recall(self, target: str) -> bytes:
        """The chunks that are durable on the disk ``target`` (an encoded `ChunkSet`, b"": none)."""

    def remember(self, target: str, held: bytes) -> None:
        """From now on these chunks are durable there, and no others."""


def held_at_start(
    manifest: Manifest,
    index: Index,
    disks: Sequence[BlockFile],
    claimed: bytes,
    *,
    update: bool,
    progress: ProgressCallback,
) -> ChunkSet:
    """The chunks that ``disks`` hold: of all when the cast is an update, else of the claimed ones.

    Raises DiskFailed.
    """
    if update:
        return held_chunks(manifest, index, disks, progress=progress)
    nothing = ChunkSet.none(len(index))
    if not claimed:
        return nothing
    try:
        claim = ChunkSet.decode(claimed, len(index))
    except BadPacket:
        return nothing
    return believed_chunks(manifest, index, disks, claim, SystemRandom(), progress=progress)


class Keeper:
    """Has what was written made durable and remembered, every few seconds and at the end.

    Nothing is said of disks that were not written yet: if the cast ends so, their old system goes on.
    The server's silence is no harm: the next time tells all.
    """

    def __init__(
        self, sink: DiskSink, remember: Callable[[bytes], None], *, seconds: float = KEEP_SECONDS
    ) -> None:
        self._sink, self._remember, self._seconds = sink, remember, seconds
        self._ended = threading.Event()
        self._told: ChunkSet | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if kind is None:
            self._keep()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._keep()

    def _keep(self) -> None:
        # A disk that fails is met by whoever writes to it.
        with suppress(FleetcastError):
            if self._sink.untouched:
                return
            held = self._sink.durable()
            if held != self._told:
                self._remember(held.encode())
                self._told = held

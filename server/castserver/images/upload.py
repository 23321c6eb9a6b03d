"""One image that a client uploads: it grows by contents, is committed, and ends.

Its contents lie in a :class:`castserver.images.uploadstore.UploadStore`; all of them are
:mod:`castserver.images.uploads`.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from castcore.disk import Extents, intersect
from castcore.edge.image.imagefile import Image
from castcore.edge.image.partial import exists
from castcore.errors import (
    BadPacket,
    DiskFailed,
    FleetcastError,
    NoSpace,
    NotFound,
)
from castcore.image import Manifest, chunk_regions
from castcore.trust import DIGEST_SIZE
from castcore.upload import Committed, Opened, StoredContent, chunks_of, split_digests

from castserver.images.uploadstore import Owner, UploadStore

log = logging.getLogger("fleetcast")


class Upload:
    """One upload; its calls come from several threads. ``end``: what it came to, None: it goes on.

    ``touched`` is when its machine was heard last, by ``clock``; ``ready`` is told the image before it
    gets its name.
    """

    def __init__(
        self,
        owner: Owner,
        store: UploadStore | None,
        plan: Manifest,
        path: Path,
        clock: Callable[[], float],
        *,
        again: bool,
    ) -> None:
        self.id = f"u{secrets.token_hex(8)}"
        self.owner = owner
        self.chunks, self.disks = chunks_of(plan), len(plan.disks)
        self.capture = ""  # the id of what it belongs to
        self._clock, self.touched = clock, clock()
        self.ready: Callable[[Manifest], None] = lambda _: None
        self.end: Committed | FleetcastError | None = None
        self._store = store
        self._plan, self._path, self._again = plan, path, again
        # What an attempt before has sent may be of a disk that was changed since.
        self._most = self.chunks + (0 if store is None else store.held)
        self._digests = bytearray()
        self._lock = threading.Lock()

    @property
    def committed(self) -> Committed | None:
        """What it became; None: nothing yet."""
        return self.end if isinstance(self.end, Committed) else None

    def opened(self) -> Opened:
        """What its machine is told of it."""
        return Opened(self.id, self.owner.image, self.chunks, len(self.held()))

    def held(self) -> list[bytes]:
        """The digests of the contents that are here."""
        with self._lock:
            return self._going().contents()

    def keep(self, contents: Sequence[StoredContent]) -> None:
        """Store ``contents``, which were proven. Raises NoSpace, DiskFailed: that is its end.

        Raises BadPacket when they are more than the image has chunks.
        """
        with self._lock:
            store = self._going()
            if store.held_with(contents) > self._most:
                raise BadPacket(f"more contents than an image of {self.chunks} chunks has")
            try:
                store.keep(contents)
            except (NoSpace, DiskFailed) as error:
                self._finish(error)
                raise

    def name_chunks(self, first: int, digests: bytes) -> None:
        """The chunks from number ``first`` on have these ``digests``; may be said again.

        Raises BadPacket.
        """
        count = len(split_digests(digests))
        with self._lock:
            self._require_going()
            known = len(self._digests) // DIGEST_SIZE
            if first > known or first + count > self.chunks:
                raise BadPacket(f"chunks {first} to {first + count} after {known} of {self.chunks}")
            self._digests[first * DIGEST_SIZE : (first + count) * DIGEST_SIZE] = digests

    def commit(self, unreadable: Sequence[Extents]) -> Committed:
        """Make it an image, unless contents are missing; said again, it answers the same.

        Raises BadPacket, NoSpace, DiskFailed, Refused and InUse (the name was taken meanwhile).
        """
        with self._lock:
            if isinstance(self.end, Committed):
                return self.end
            store, digests = self._going(), split_digests(bytes(self._digests))
            if len(digests) != self.chunks:
                raise BadPacket(f"{len(digests)} of {self.chunks} chunks are named")
            lengths = (
                region.length
                for disk in self._plan.disks
                for region in chunk_regions(disk.in_use, disk.layout.size)
            )
            missing = store.missing(digests, lengths)
            if missing:
                return Committed(self.owner.image, missing=missing)
            try:
                manifest = store.publish(
                    _with_unreadable(self._plan, unreadable),
                    digests,
                    self._path,
                    replace=self._again,
                    ready=self.ready,
                )
            except FleetcastError as error:
                self._finish(error)
                raise
            self._store = None
            root = manifest.index_digest.hex()
            self.end = Committed(self.owner.image, root, manifest.stored)
            return self.end

    def abandon(self, why: FleetcastError) -> None:
        """End it; nothing of it stays."""
        with self._lock:
            if self.end is None:
                self._finish(why)

    def hand_over(self) -> UploadStore | None:
        """Its contents, for another attempt of the same machine."""
        with self._lock:
            store, self._store = self._store, None
            self.end = self.end or NotFound("another attempt has taken this upload over")
            return store

    def leave(self) -> None:
        """Let it lie for the next server."""
        store = self.hand_over()
        if store is not None:
            let_lie(store)

    def _require_going(self) -> None:
        self._going()

    def _going(self) -> UploadStore:
        if isinstance(self.end, FleetcastError):
            raise type(self.end)(self.end.what, hint=self.end.hint)
        if self._store is None:
            raise NotFound("this upload has ended")
        self.touched = self._clock()
        return self._store

    def _finish(self, error: FleetcastError) -> None:
        store, self._store, self.end = self._store, None, error
        if store is not None:
            store.remove()


class Finished(Upload):
    """An upload whose image is there, which its machine did not hear: nothing more of it is taken.

    The machine reads its disks once more, and has to find the same.
    """

    def __init__(self, owner: Owner, manifest: Manifest, path: Path, clock: Callable[[], float]) -> None:
        super().__init__(owner, None, manifest, path, clock, again=False)
        self.end = Committed(owner.image, manifest.index_digest.hex(), manifest.stored)

    def held(self) -> list[bytes]:
        """The digests of all chunks. Raises BadImage, DiskFailed."""
        with Image.open(self._path) as image:
            return [record.digest for record in image.index.records]

    def keep(self, contents: Sequence[StoredContent]) -> None:
        """They are here, or no part of the image."""

    def commit(self, unreadable: Sequence[Extents]) -> Committed:  # noqa: ARG002
        """What it became. Raises Refused where the machine named other chunks; BadImage, DiskFailed."""
        if split_digests(bytes(self._digests)) != self.held():
            raise exists(self._path)
        assert isinstance(self.end, Committed)
        return self.end

    def _require_going(self) -> None:
        """It takes digests, to compare them."""


def let_lie(store: UploadStore) -> None:
    """Let ``store`` lie for the next server."""
    try:
        store.leave()
    except FleetcastError as error:
        log.error("%s", error.what)  # the next server keeps what it can read


def _with_unreadable(plan: Manifest, unreadable: Sequence[Extents]) -> Manifest:
    """``plan`` with what could not be read of each disk. Raises BadPacket when that is not in use."""
    pairs = list(zip(plan.disks, unreadable, strict=True))
    if any(intersect(disk.in_use, extents) != extents for disk, extents in pairs):
        raise BadPacket("unreadable bytes that are not in use")
    return replace(plan, disks=tuple(replace(disk, unreadable=e) for disk, e in pairs))

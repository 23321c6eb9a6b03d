"""The images that clients upload just now: who may, how many, and what becomes of them.

What a machine sends is stored by its digest (:mod:`castserver.uploadstore`) and becomes an image when
all of it is there. An upload that was cut off waits for its machine, here and over a restart.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from castcore.disk import Extents, intersect
from castcore.edge.image.imagefile import Image
from castcore.edge.image.newimage import require_free_name
from castcore.edge.image.partial import exists, remove_stale
from castcore.edge.image.store import SUFFIX, read_manifest
from castcore.errors import (
    BadPacket,
    Busy,
    DiskFailed,
    FleetcastError,
    InUse,
    NoSpace,
    NotFound,
    Refused,
)
from castcore.image import Manifest, chunk_regions, index_size
from castcore.trust import DIGEST_SIZE
from castcore.upload import Committed, Opened, StoredContent, chunks_of, split_digests

from castserver.uploadstore import Owner, UploadStore, require_room

# A machine may capture two of its disks at a time; a room of machines fills no server's memory.
MOST_UPLOADS, MOST_OF_ONE = 64, 2
# Some hundred bytes are held for each chunk: all uploads together describe at most 4 TiB in use.
MOST_CHUNKS = 4 << 20
# How long the server keeps what a silent machine has sent.
KEPT_SECONDS = 24 * 3600.0
MOST_ENDED = 256

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
            _leave(store)

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


class Uploads:
    """The uploads into the library at ``directory``; ``clock`` in monotonic seconds."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._clock = directory, clock
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._waiting: dict[Owner, UploadStore] = {}
        self._since = clock()

    def adopt(self) -> None:
        """Take over what a server before us was sent and that did not become images."""
        for path in sorted(self._directory.iterdir()):
            store = UploadStore.adopt(path)
            if store is not None and store.owner in self._waiting:
                store.remove()
            elif store is not None:
                self._waiting[store.owner] = store

    def open(self, owner: Owner, machine: str, plan: Manifest, *, again: bool) -> Upload:
        """A new upload for ``owner``, called ``machine`` for people; goes on with what it sent before.

        ``again``: an older image of that machine may be replaced. Raises Refused, InUse, Busy, NoSpace,
        DiskFailed.
        """
        path = self._directory / f"{owner.image}{SUFFIX}"
        plan = replace(plan, name=owner.image, source=replace(plan.source, machine=machine))
        again = self.require_free(owner.image, machine, again=again)
        with self._lock:
            before = [u for u in self._going() if u.owner == owner]
            self._require_room(owner, chunks_of(plan), before)
            kept = [store for upload in before if (store := upload.hand_over()) is not None]
            waiting = self._waiting.pop(owner, None)
            kept += [] if waiting is None else [waiting]
            kept = _worth_keeping(kept, chunks_of(plan))
            if not kept:
                require_room(self._directory, index_size(chunks_of(plan)))
                remove_stale(self._directory)
                kept = [UploadStore.new(self._directory, owner)]
            upload = Upload(owner, kept[0], plan, path, self._clock, again=again)
            self._uploads[upload.id] = upload
            self._forget_ended()
            return upload

    def finished(self, owner: Owner, root: str) -> Upload | None:
        """An upload that was committed, of which ``owner`` may not have heard; None: no such image."""
        path = self._directory / f"{owner.image}{SUFFIX}"
        try:
            manifest = read_manifest(path)
        except FleetcastError:
            return None
        if manifest.index_digest.hex() != root:
            return None
        with self._lock:
            for before in [u for u in self._uploads.values() if isinstance(u, Finished)]:
                if before.owner == owner:
                    del self._uploads[before.id]
            upload = Finished(owner, manifest, path, self._clock)
            self._uploads[upload.id] = upload
            self._forget_ended()
        return upload

    def require_free(self, image: str, machine: str, *, again: bool) -> bool:
        """Return when ``machine`` may upload ``image``: whether it would replace an older one.

        Raises Refused, InUse.
        """
        path = self._directory / f"{image}{SUFFIX}"
        again = again and _made_by(path, machine)
        require_free_name(path, replace=again)
        return again

    def find(self, upload: str, client: str) -> Upload:
        """The upload with this id, of this machine. Raises NotFound."""
        found = self._uploads.get(upload)
        if found is None or found.owner.client != client:
            raise NotFound(f"there is no upload {upload[:40]!r} of this machine", hint="begin it again")
        return found

    def cancel(self, owner: Owner, why: str) -> None:
        """End the uploads of ``owner``: its machine is told ``why``."""
        with self._lock:
            stopped = [u for u in self._going() if u.owner == owner]
            waiting = self._waiting.pop(owner, None)
        for upload in stopped:
            upload.abandon(Refused(why))
        if waiting is not None:
            waiting.remove()

    def tick(self) -> None:
        """Now and then: give up what nobody has gone on with for a day."""
        now = self._clock()
        with self._lock:
            late = [u for u in self._going() if now - u.touched > KEPT_SECONDS]
            waiting = []
            if now - self._since > KEPT_SECONDS:
                waiting, self._waiting = list(self._waiting.values()), {}
        for upload in late:
            upload.abandon(NotFound("the upload has waited too long"))
        for store in waiting:
            store.remove()

    def close(self) -> None:
        """Let all lie for the next server."""
        with self._lock:
            for upload in self._going():
                upload.leave()
            for store in self._waiting.values():
                _leave(store)
            self._waiting = {}

    def _going(self) -> list[Upload]:
        return [upload for upload in self._uploads.values() if upload.end is None]

    def _require_room(self, owner: Owner, chunks: int, before: Sequence[Upload]) -> None:
        others = [u for u in self._going() if u not in before]
        if any(u.owner.image == owner.image for u in others):
            raise InUse(
                f"another machine is being captured as {owner.image}", hint="choose another name"
            )
        if sum(u.owner.client == owner.client for u in others) >= MOST_OF_ONE:
            raise Refused(
                f"this machine uploads {MOST_OF_ONE} images already", hint="wait for their end"
            )
        if chunks > MOST_CHUNKS:
            raise Refused(
                f"the image would have {chunks} chunks, an upload has at most {MOST_CHUNKS}",
                hint="capture it at the machine itself",
            )
        if len(others) >= MOST_UPLOADS or chunks + sum(u.chunks for u in others) > MOST_CHUNKS:
            raise Busy("other machines are being captured, as many as there may be at a time")

    def _forget_ended(self) -> None:
        ended = [name for name, upload in self._uploads.items() if upload.end is not None]
        for name in ended[: max(len(ended) - MOST_ENDED, 0)]:
            del self._uploads[name]


def _worth_keeping(stores: Sequence[UploadStore], chunks: int) -> list[UploadStore]:
    """Those of ``stores`` that an image of ``chunks`` goes on with; none grows for ever so."""
    for store in stores:
        if store.held > 2 * chunks:
            store.remove()
    return [store for store in stores if store.held <= 2 * chunks]


def _leave(store: UploadStore) -> None:
    try:
        store.leave()
    except FleetcastError as error:
        log.error("%s", error.what)  # the next server keeps what it can read


def _made_by(path: Path, machine: str) -> bool:
    """Whether the image at ``path`` was uploaded by ``machine``."""
    try:
        return read_manifest(path).source.machine == machine
    except FleetcastError:
        return False


def _with_unreadable(plan: Manifest, unreadable: Sequence[Extents]) -> Manifest:
    """``plan`` with what could not be read of each disk. Raises BadPacket when that is not in use."""
    pairs = list(zip(plan.disks, unreadable, strict=True))
    if any(intersect(disk.in_use, extents) != extents for disk, extents in pairs):
        raise BadPacket("unreadable bytes that are not in use")
    return replace(plan, disks=tuple(replace(disk, unreadable=e) for disk, e in pairs))

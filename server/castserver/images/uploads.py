"""The images that clients upload just now: who may, how many, and what becomes of them.

What a machine sends is stored by its digest (:mod:`castserver.images.uploadstore`) and becomes an image
when all of it is there. An upload that was cut off waits for its machine, here and over a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from castcore.edge.image.newimage import require_free_name
from castcore.edge.image.partial import remove_stale
from castcore.edge.image.store import SUFFIX, read_manifest
from castcore.errors import (
    Busy,
    FleetcastError,
    InUse,
    NotFound,
    Refused,
)
from castcore.image import Manifest, index_size
from castcore.upload import chunks_of

from castserver.images.upload import Finished, Upload, let_lie
from castserver.images.uploadstore import Owner, UploadStore, require_room

# A machine may capture two of its disks at a time; a room of machines fills no server's memory.
MOST_UPLOADS, MOST_OF_ONE = 64, 2
# Some hundred bytes are held for each chunk: all uploads together describe at most 4 TiB in use.
MOST_CHUNKS = 4 << 20
# How long the server keeps what a silent machine has sent.
KEPT_SECONDS = 24 * 3600.0
MOST_ENDED = 256


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
                let_lie(store)
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


def _made_by(path: Path, machine: str) -> bool:
    """Whether the image at ``path`` was uploaded by ``machine``."""
    try:
        return read_manifest(path).source.machine == machine
    except FleetcastError:
        return False

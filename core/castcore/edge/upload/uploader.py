"""Sends an image to a server as it is read: an :class:`ImageSink` at the end of a TLS connection."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from castcore.edge.net.pinned import PinnedHttps, Rejected, TokenRefused
from castcore.errors import BadPacket, FleetcastError, NetworkFailed, NotFound
from castcore.image import ChunkKind, ChunkRecord, Content, Loan, Manifest
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import DIGEST_SIZE
from castcore.units import MIB
from castcore.upload import (
    UPLOADS,
    Committed,
    NewUpload,
    Opened,
    StoredContent,
    encode_contents,
    encode_unreadable,
    split_digests,
)

T = TypeVar("T")

# How long a server may be silent: it is restarted, a switch is changed, somebody looks for the cable.
PATIENCE = 900.0
RETRY_SECONDS = 2.0
TIMEOUT = 60.0
# Packs are synced, and the index is written.
COMMIT_TIMEOUT = 1800.0
BATCH = 2 * MIB
# Requests under way: while one is proven at the server another travels.
CONNECTIONS = 3
HELD_LIMIT = 1 << 30
DIGESTS_AT_ONCE = MIB // DIGEST_SIZE


class UploadLost(NetworkFailed):
    """The server knows nothing of the upload any more: begin again, what it kept need not be sent."""


@contextmanager
def uploading(
    https: PinnedHttps,
    new: NewUpload,
    *,
    patience: float = PATIENCE,
    progress: ProgressCallback = silent,
) -> Iterator[Uploader]:
    """Upload ``new`` through the sink given to the block; the image is there when `finish` returns.

    What was sent stays at the server for a while when the link is lost, and goes at once when the block
    fails of something else. Raises NetworkFailed, Refused, NoSpace.
    """
    patiently = _Patient(patience, progress)
    body = new.encode()
    answer = patiently(lambda: https.post(UPLOADS, body, timeout=TIMEOUT))
    sink = Uploader(https, Opened.from_json(https.parsed(UPLOADS, answer)), patiently)
    try:
        sink.learn()
        yield sink
    except NetworkFailed:
        raise
    except FleetcastError:
        with suppress(FleetcastError):
            https.post(f"{UPLOADS}/{sink.opened.upload}/abandon", b"", timeout=TIMEOUT)
        raise
    finally:
        patiently.end()
        sink.close()


class Uploader:
    """Takes the chunks of one image and sends what the server lacks; implements ``ImageSink``."""

    def __init__(self, https: PinnedHttps, opened: Opened, patiently: _Patient) -> None:
        self._https, self._patiently = https, patiently
        self._path = f"{UPLOADS}/{opened.upload}"
        self.opened = opened
        self.stored = 0
        self._held: set[bytes] = set()
        self._digests: list[bytes] = []
        self._batch: list[StoredContent] = []
        self._batch_size = 0
        self._under_way: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="upload")

    def learn(self) -> None:
        """Ask which contents the server has of an attempt before. Raises NetworkFailed, UploadLost."""
        if self.opened.held:
            data = self._ask(lambda: self._https.get(f"{self._path}/held", limit=HELD_LIMIT))
            self._held = set(split_digests(data))

    def holds(self, content_digest: bytes) -> bool:
        """Whether the server has a content of this digest, or it is on its way."""
        return content_digest in self._held

    def loan(self, content_digest: bytes) -> Loan | None:  # noqa: ARG002
        """Nothing is lent over the network."""
        return None

    def add(self, record: ChunkRecord, stored: Content, loan: Loan | None = None) -> None:  # noqa: ARG002
        """The next chunk. Raises NetworkFailed, UploadLost, Refused, NoSpace."""
        self._digests.append(record.digest)
        if record.kind is not ChunkKind.DATA or record.digest in self._held:
            return
        one = StoredContent(record.length, record.codec, record.digest, stored)
        if self._batch_size + one.size > BATCH and self._batch:
            self._send()
        self._held.add(record.digest)
        self._batch.append(one)
        self._batch_size += one.size
        self.stored += len(stored)

    def finish(self, manifest: Manifest) -> Manifest:
        """Send the rest and have the image made whole. Raises as `add`."""
        if self._batch:
            self._send()
        while self._under_way:
            self._under_way.popleft().result()
        for first in range(0, len(self._digests), DIGESTS_AT_ONCE):
            row = b"".join(self._digests[first : first + DIGESTS_AT_ONCE])
            self._post(f"digests?first={first}", row)
        body = encode_unreadable([disk.unreadable for disk in manifest.disks])
        done = Committed.from_json(
            self._ask(
                lambda: self._https.post_json(f"{self._path}/commit", body, timeout=COMMIT_TIMEOUT)
            )
        )
        if done.missing:
            raise UploadLost(f"the server has lost {done.missing} chunks of {done.image}")
        self.stored = done.stored
        return replace(
            manifest,
            name=done.image,
            index_digest=bytes.fromhex(done.root),
            chunk_count=len(self._digests),
        )

    def close(self) -> None:
        """Send nothing more; what waits for the server is given up."""
        self._pool.shutdown(cancel_futures=True)

    def _send(self) -> None:
        if len(self._under_way) >= CONNECTIONS:
            self._under_way.popleft().result()
        body = encode_contents(self._batch)
        self._batch, self._batch_size = [], 0
        self._under_way.append(self._pool.submit(self._post, "chunks", body))

    def _post(self, name: str, body: bytes) -> None:
        self._ask(lambda: self._https.post(f"{self._path}/{name}", body, timeout=TIMEOUT))

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return self._patiently(call)
        except NotFound as error:
            raise UploadLost(error.what) from None


class _Patient:
    """Asks until the server answers: its links and tokens come and go, ``patience`` seconds at most."""

    def __init__(self, patience: float, progress: ProgressCallback) -> None:
        self._patience, self._progress = patience, progress
        self._ended = threading.Event()

    def end(self) -> None:
        """Whoever still asks gives up."""
        self._ended.set()

    def __call__(self, call: Callable[[], T]) -> T:
        """What ``call`` returns. Raises what cannot be mended by asking again."""
        end = time.monotonic() + self._patience
        while True:
            try:
                return call()
            except Rejected:
                raise
            except (NetworkFailed, TokenRefused, BadPacket) as error:
                if self._ended.is_set() or time.monotonic() > end:
                    raise NetworkFailed(error.what, hint=error.hint) from None
                self._progress(Progress("wait", 0, 0, error.what))
            self._ended.wait(RETRY_SECONDS)

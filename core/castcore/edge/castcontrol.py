"""The TLS side of one cast as a client sees it: descriptor, manifest, index, join, single chunks."""

from __future__ import annotations

from castcore.cast import JoinAnswer
from castcore.control import API
from castcore.edge.pinned import PinnedHttps

DESCRIPTOR_LIMIT = 64 << 10
MANIFEST_LIMIT = 64 << 20
# 64 bytes a chunk of 1 MiB: an index of 1 GiB would stand for a disk of 16 TiB.
INDEX_LIMIT = 1 << 30
CHUNK_LIMIT = 8 << 20
CHUNK_TIMEOUT = 30.0


class HttpsCastControl:
    """Implements :class:`castcore.edge.castreceiver.CastControl`; every call raises NetworkFailed."""

    def __init__(self, https: PinnedHttps, cast: str) -> None:
        self._https = https
        self._path = f"{API}/casts/{cast}"

    def descriptor(self) -> bytes:
        """The signed descriptor, not yet checked."""
        return self._https.get(f"{self._path}/descriptor", limit=DESCRIPTOR_LIMIT)

    def manifest(self) -> bytes:
        """The image's manifest, not yet checked."""
        return self._https.get(f"{self._path}/manifest", limit=MANIFEST_LIMIT)

    def index(self) -> bytes:
        """The image's index, not yet checked."""
        return self._https.get(f"{self._path}/index", limit=INDEX_LIMIT)

    def join(self) -> JoinAnswer:
        """Enter the cast; legal at any time, and again."""
        return JoinAnswer.from_json(self._https.post_json(f"{self._path}/join", {}))

    def chunk(self, number: int) -> bytes:
        """The stored bytes of one chunk, not yet checked."""
        path = f"{self._path}/chunks/{number}"
        return self._https.get(path, timeout=CHUNK_TIMEOUT, limit=CHUNK_LIMIT)

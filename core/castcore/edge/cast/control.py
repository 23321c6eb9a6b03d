"""The TLS side of one cast as a client sees it: descriptor, manifest, index, join, single chunks."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import quote

from castcore.cast.peers import Peers
from castcore.cast.values import JoinAnswer
from castcore.control import API, LicenceAnswer
from castcore.edge.net.pinned import PinnedHttps
from castcore.errors import BadPacket, NetworkFailed, Refused
from castcore.image import MANIFEST_LIMIT
from castcore.licence import NoLicence

DESCRIPTOR_LIMIT = 64 << 10
# 64 bytes a chunk of 1 MiB: an index of 1 GiB would stand for a disk of 16 TiB.
INDEX_LIMIT = 1 << 30
# A bit for each of 2^27 chunks, 128 TiB.
SELECTION_LIMIT = 16 << 20
CHUNK_LIMIT = 8 << 20
DIGESTS_LIMIT = 32 << 10
CHUNK_TIMEOUT = 30.0
# A chunk waits for this answer before it is fetched: not for long.
PEERS_TIMEOUT = 2.0


class CastControl(Protocol):
    """The TLS side of one cast; every call raises NetworkFailed when it is worth another try."""

    def descriptor(self) -> bytes:
        """The signed descriptor, not yet checked."""

    def manifest(self) -> bytes:
        """The image's manifest, not yet checked."""

    def index(self) -> bytes:
        """The image's index, not yet checked."""

    def join(self, held: bytes) -> JoinAnswer:
        """Enter the cast with the chunks ``held`` (an encoded `ChunkSet`, b"" for none).

        Legal at any time, and again.
        """

    def selection(self, number: int) -> bytes:
        """The chunks that travel in selection ``number``, not yet checked."""

    def chunk(self, number: int) -> bytes:
        """The stored bytes of one chunk, not yet checked."""

    def symbol_digests(self, selection: int, block: int) -> bytes:
        """The digests of all symbols of a selection's block (:mod:`castcore.cast.vetting`)."""

    def peers(self) -> Peers:
        """Who serves chunks, and whether to stay as one who does."""


class HttpsCastControl:
    """Implements :class:`CastControl`; ``fetched`` counts the bytes of single chunks.

    Every call raises NetworkFailed when it is worth trying again, NotFound when the cast is over.
    """

    def __init__(self, https: PinnedHttps, cast: str) -> None:
        self._https = https
        self._path = f"{API}/casts/{quote(cast, safe='')}"
        self._counting = threading.Lock()
        self.fetched = 0

    def descriptor(self) -> bytes:
        """The signed descriptor, not yet checked."""
        return self._get("descriptor", DESCRIPTOR_LIMIT)

    def manifest(self) -> bytes:
        """The image's manifest, not yet checked."""
        return self._get("manifest", MANIFEST_LIMIT)

    def index(self) -> bytes:
        """The image's index, not yet checked."""
        return self._get("index", INDEX_LIMIT)

    def join(self, held: bytes) -> JoinAnswer:
        """Enter the cast with the chunks ``held``; legal at any time, and again."""
        body = {"held": b64encode(held).decode()} if held else {}
        with _worth_another_try():
            return JoinAnswer.from_json(self._https.post_json(f"{self._path}/join", body))

    def selection(self, number: int) -> bytes:
        """The chunks that travel in selection ``number``, not yet checked."""
        return self._get(f"selection/{number}", SELECTION_LIMIT)

    def chunk(self, number: int) -> bytes:
        """The stored bytes of one chunk, not yet checked."""
        stored = self._get(f"chunks/{number}", CHUNK_LIMIT)
        with self._counting:
            self.fetched += len(stored)
        return stored

    def symbol_digests(self, selection: int, block: int) -> bytes:
        """The digests of all symbols of a selection's block (:mod:`castcore.cast.vetting`)."""
        return self._get(f"symbols/{selection}/{block}", DIGESTS_LIMIT)

    def peers(self) -> Peers:
        """Who serves chunks, and whether to stay as one who does."""
        with _worth_another_try():
            return Peers.from_json(self._https.get_json(f"{self._path}/peers", timeout=PEERS_TIMEOUT))

    def recall(self, target: str) -> bytes:
        """The chunks that the server remembers to be durable on our disk ``target``, to be checked."""
        return self._get(f"durable?target={quote(target, safe='')}", SELECTION_LIMIT)

    def remember(self, target: str, held: bytes) -> None:
        """Have the server remember that these chunks (an encoded `ChunkSet`) are durable there."""
        with _worth_another_try():
            body = {"target": target, "held": b64encode(held).decode()}
            self._https.post_json(f"{self._path}/durable", body)

    def claim_licence(self) -> None:
        """Have the server reserve a licence for this machine, before its disk is touched.

        Raises NoLicence with the server's reason; legal again.
        """
        with _worth_another_try():
            answer = LicenceAnswer.from_json(self._https.post_json(f"{self._path}/licence", {}))
        if not answer.granted:
            raise NoLicence(answer.why, hint=answer.hint)

    def _get(self, name: str, limit: int) -> bytes:
        with _worth_another_try():
            return self._https.get(f"{self._path}/{name}", timeout=CHUNK_TIMEOUT, limit=limit)


@contextmanager
def _worth_another_try() -> Iterator[None]:
    """A restarted server refuses our old token until we have registered again, beside the cast."""
    try:
        yield
    except (Refused, BadPacket) as error:
        raise NetworkFailed(error.what, hint=error.hint) from None

"""The digests of what the packs hold of each chunk: they prove an image as it lies there, unexpanded.

See ``FORMAT.md``, "Stored digests". Older images have none; then only the contents prove anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from castcore.errors import BadImage
from castcore.image.manifest import Manifest
from castcore.trust import DIGEST_SIZE, digest

# Of a chunk of zeros, which stores nothing; of another one: its writer could not tell.
NOTHING = bytes(DIGEST_SIZE)


class StoredDigests:
    """``digests[n]`` is BLAKE3 of the stored bytes of chunk ``n``."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __getitem__(self, chunk: int) -> bytes:
        return self._data[chunk * DIGEST_SIZE : (chunk + 1) * DIGEST_SIZE]


def encode_stored_digests(digests: Sequence[bytes]) -> bytes:
    """The file that holds ``digests``, one for each record of the index."""
    return b"".join(digests)


def stored_digests_size(chunk_count: int) -> int:
    """The bytes of that file."""
    return chunk_count * DIGEST_SIZE


def parse_stored_digests(data: bytes, manifest: Manifest) -> StoredDigests:
    """The digests that ``data`` holds, of the image that ``manifest`` describes. Raises BadImage."""
    if len(data) != stored_digests_size(manifest.chunk_count) or digest(data) != manifest.stored_digest:
        raise BadImage("the stored digests are damaged: their digest is not the one in the manifest")
    return StoredDigests(data)

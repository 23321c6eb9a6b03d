"""What takes in a captured image, chunk by chunk: a directory of a store, or a server."""

from __future__ import annotations

from typing import Protocol

from castcore.image import ChunkRecord, Content, Loan, Manifest


class ImageSink(Protocol):
    """Takes the chunks of an image in the order of its disks."""

    @property
    def stored(self) -> int:
        """Bytes it has stored so far."""
        ...

    def holds(self, content_digest: bytes) -> bool:
        """Whether it has a content of this digest already; any thread may ask."""
        ...

    def loan(self, content_digest: bytes) -> Loan | None:
        """Where a base has the content of this digest, proven; any thread may ask.

        Raises BadImage, DiskFailed.
        """
        ...

    def add(self, record: ChunkRecord, stored: Content, loan: Loan | None = None) -> None:
        """The next chunk; ``stored`` may be empty when the sink holds its content, or for a ``loan``.

        ``record`` says nothing of packs yet. One thread calls. Raises NoSpace, DiskFailed,
        NetworkFailed.
        """
        ...

    def finish(self, manifest: Manifest) -> Manifest:
        """All chunks are there: make the image whole; return ``manifest`` filled in. Raises as `add`."""
        ...

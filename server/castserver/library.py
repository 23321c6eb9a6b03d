"""The images this server can cast: a directory of them, and one opened for a cast."""

from __future__ import annotations

import threading
from pathlib import Path

from castcore.edge.image.imagefile import Image, ProvenSource
from castcore.edge.image.store import SUFFIX, StoredImage, image_name, list_images
from castcore.errors import BadImage, DiskFailed, FleetcastError, InUse, NotFound
from castcore.image import NAME


class LibraryImage:
    """An open image; closing it waits for reads under way, and later ones fail with InUse.

    A file descriptor closed under a reader could be another file's by the time it is read.
    ``failure`` is what ``read_stored`` failed of: who asks for single chunks asks in vain from then on.
    """

    failure: FleetcastError | None = None

    def __init__(self, source: Image) -> None:
        self._image = source
        self.source = ProvenSource(source)
        self.name = image_name(source.path)
        self.root = source.manifest.index_digest.hex()
        self.chunk_count = source.manifest.chunk_count
        self.manifest_bytes = source.manifest_bytes
        self.index_bytes = source.index_bytes
        self._idle = threading.Condition()
        self._readers = 0
        self._closed = False

    def read_stored(self, chunk: int) -> bytes:
        """The proven stored bytes of ``chunk``. Raises DiskFailed, BadImage, or InUse when closed."""
        with self._idle:
            if self._closed:
                raise InUse(f"image {self.name} is no longer being cast")
            self._readers += 1
        try:
            return self.source.read_stored(chunk)
        except (BadImage, DiskFailed) as error:
            self.failure = error
            raise
        finally:
            with self._idle:
                self._readers -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Close its files once nobody reads them; harmless when done before."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._readers == 0)
            self._image.close()


class Library:
    """The images in one directory. Raises NotFound when it cannot be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.list()

    def list(self) -> tuple[StoredImage, ...]:
        """Every image by name, the damaged ones with their problem. Raises NotFound."""
        return list_images(self.directory, "--images")

    def open(self, name: str) -> LibraryImage:
        """The image called ``name``, opened. Raises NotFound, BadImage or DiskFailed."""
        # A name from the network: never a path.
        if not NAME.fullmatch(name):
            raise NotFound(f"there is no image {name[:40]!r}", hint="`fleetcast image list` shows all")
        image = Image.open(self.directory / f"{name}{SUFFIX}")
        if image.manifest.chunk_count == 0:
            image.close()
            raise BadImage(f"image {name} holds nothing to cast")
        return LibraryImage(image)

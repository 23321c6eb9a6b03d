"""The images this server can cast: its own and a deploy medium's, and one opened for a cast."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.image.imagefile import Image, ProvenSource
from castcore.edge.image.store import SUFFIX, StoredImage, image_name, list_images
from castcore.errors import BadImage, DiskFailed, FleetcastError, InUse, NotFound, Refused
from castcore.image import NAME

from castserver.mediastate import Medium, images_of

# The two places of an image, as a cast may name them: `medium/office`.
LIBRARY, MEDIUM = "library", "medium"


class LibraryImage:
    """An open image; closing it waits for reads under way, and later ones fail with InUse.

    A file descriptor closed under a reader could be another file's by the time it is read.
    ``name`` is what it was asked for by, ``medium`` the key of the deploy medium that it lies on ("": of
    none). ``failure`` is what ``read_stored`` failed of: who asks for single chunks asks in vain from
    then on.
    """

    failure: FleetcastError | None = None

    medium = ""

    def __init__(self, source: Image, name: str = "", medium: str = "") -> None:
        self._image = source
        self.source = ProvenSource(source)
        self.name, self.medium = name or image_name(source.path), medium
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


@dataclass(frozen=True, slots=True)
class Shelved:
    """An image and ``where`` it is: LIBRARY, or the name of the deploy medium."""

    image: StoredImage
    where: str


class Library:
    """The images that can be cast: those in one directory, and those of the deploy medium in use.

    ``medium`` tells that one. Raises NotFound when the directory cannot be read.
    """

    def __init__(self, directory: Path, medium: Callable[[], Medium | None] = lambda: None) -> None:
        self.directory, self._medium = directory, medium
        self.list()

    def list(self) -> tuple[StoredImage, ...]:
        """Every image of the directory by name, the damaged ones with their problem. Raises NotFound."""
        return list_images(self.directory, "--images")

    def all(self) -> tuple[Shelved, ...]:
        """Every image, those of the medium first. Raises NotFound."""
        medium = self._medium()
        on_medium: tuple[StoredImage, ...] = ()
        if medium is not None:
            with suppress(FleetcastError):  # pulled out just now, or it has none
                on_medium = list_images(images_of(medium))
        here = [Shelved(image, LIBRARY) for image in self.list()]
        return (*(Shelved(image, medium.name) for image in on_medium if medium is not None), *here)

    def mark(self) -> tuple[object, ...]:
        """Another one as soon as an image came or went: an image is renamed into its directory."""
        medium = self._medium()
        places = [self.directory] if medium is None else [self.directory, images_of(medium)]
        return (medium and medium.key, *map(_changed, places))

    def open(self, name: str, root: str = "") -> LibraryImage:
        """The image called ``name``, opened: ``library/NAME`` and ``medium/NAME`` say where it is.

        Of two with one name, the one with that ``root``. Raises NotFound, BadImage, DiskFailed, and
        Refused when both the library and the medium have one.
        """
        shelf, slash, bare = name.rpartition("/")
        # A name from the network: never a path.
        if not NAME.fullmatch(bare) or (slash and shelf not in (LIBRARY, MEDIUM)):
            raise _no_image(name)
        images = [
            _opened(path / f"{bare}{SUFFIX}", name, medium)
            for path, medium in self._places(shelf)
            if (path / f"{bare}{SUFFIX}").is_dir()
        ]
        if not images:
            raise _no_image(name)
        fits = [one for one in images if root in ("", one.root)] or images
        chosen = fits[0] if len(fits) == 1 or root else None
        for one in images:
            if one is not chosen:
                one.close()
        if chosen is None:
            raise Refused(
                f"both the library and the medium have an image {bare}",
                hint=f"say which: {LIBRARY}/{bare} or {MEDIUM}/{bare}",
            )
        return chosen

    def _places(self, shelf: str) -> Iterator[tuple[Path, str]]:
        """The directories to look in, each with its medium's key."""
        medium = self._medium()
        if shelf != MEDIUM:
            yield self.directory, ""
        if medium is not None and shelf != LIBRARY:
            yield images_of(medium), medium.key


def _changed(directory: Path) -> int:
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def _no_image(name: str) -> NotFound:
    return NotFound(f"there is no image {name[:40]!r}", hint="`fleetcast image list` shows all")


def _opened(path: Path, name: str, medium: str) -> LibraryImage:
    image = Image.open(path)
    if image.manifest.chunk_count == 0:
        image.close()
        raise BadImage(f"image {name} holds nothing to cast")
    return LibraryImage(image, name, medium)

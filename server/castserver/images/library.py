"""The images this server can cast: its own and a deploy medium's, and one opened for a cast."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from castcore.edge.image.imagefile import Image, ProvenSource
from castcore.edge.image.store import SUFFIX, StoredImage, image_name, list_images
from castcore.errors import BadImage, DiskFailed, FleetcastError, InUse, NotFound, Refused
from castcore.image import NAME

from castserver.images.patience import Patience
from castserver.images.shelves import (
    LIBRARY,
    MEDIUM,
    Shelf,
    Shelved,
    changed,
    further,
    shelved,
    unreachable,
)
from castserver.media.mediastate import Medium, images_of


class LibraryImage:
    """An open image; closing it waits for reads under way, and later ones fail with InUse.

    A file descriptor closed under a reader could be another file's by the time it is read.
    ``name`` is what it was asked for by, ``medium`` the key of the deploy medium that it lies on ("": of
    none). ``failure`` is what ``read_stored`` failed of: who asks for single chunks asks in vain from
    then on.
    """

    failure: FleetcastError | None = None

    medium = ""

    def __init__(
        self,
        source: Image,
        name: str = "",
        medium: str = "",
        proven: Callable[[Image], ProvenSource] = ProvenSource,
    ) -> None:
        self._image = source
        self.source = proven(source)
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


class Library:
    """The images that can be cast: those in the library's directory, in ``more`` folders, and those of
    the deploy medium in use, which ``medium`` tells.

    Raises NotFound when the directory cannot be read; the other folders may come and go.
    """

    def __init__(
        self,
        directory: Path,
        medium: Callable[[], Medium | None] = lambda: None,
        more: Sequence[Path] = (),
    ) -> None:
        self.directory, self._medium = directory, medium
        self._own = Shelf(LIBRARY, directory, Patience(str(directory)))
        self._shelves = (self._own, *further(more))
        self.list()

    @property
    def own(self) -> Shelf:
        """The library's directory."""
        return self._own

    def list(self) -> tuple[StoredImage, ...]:
        """Every image of the directory by name, the damaged ones with their problem. Raises NotFound."""
        return tuple(one.image for one in self._own.list())

    def all(self) -> tuple[Shelved, ...]:
        """Every image, those of the medium first. Raises NotFound.

        A folder that cannot be reached stands there as one image with its problem.
        """
        return (*self._on_medium(), *(one for shelf in self._shelves for one in self._listed(shelf)))

    def _on_medium(self) -> tuple[Shelved, ...]:
        medium = self._medium()
        if medium is None:
            return ()
        with suppress(FleetcastError):  # pulled out just now, or it has none
            found = (shelved(image, MEDIUM) for image in list_images(images_of(medium)))
            return tuple(replace(one, where=medium.name) for one in found)
        return ()

    def _listed(self, shelf: Shelf) -> tuple[Shelved, ...]:
        try:
            return shelf.list()
        except FleetcastError as error:
            if shelf is self._own and isinstance(error, NotFound):
                raise
            return (unreachable(shelf, error),)

    def mark(self) -> tuple[object, ...]:
        """Another one as soon as an image came or went: an image is renamed into its directory."""
        medium = self._medium()
        on_medium = (medium.key, changed(images_of(medium))) if medium is not None else ()
        return (*on_medium, *(shelf.changed() for shelf in self._shelves))

    def open(self, name: str, root: str = "") -> LibraryImage:
        """The image ``name``, opened: ``library/NAME``, ``medium/NAME`` and ``FOLDER/NAME`` say where.

        Of several with one name, the one with that ``root``, else any; without a ``root`` that of the
        first folder. Raises NotFound, BadImage, DiskFailed, and Refused when both a folder and the
        medium have one.
        """
        where, slash, bare = name.rpartition("/")
        # A name from the network: never a path.
        known = (MEDIUM, *(shelf.name for shelf in self._shelves))
        if not NAME.fullmatch(bare) or (slash and where not in known):
            raise _no_image(name)
        shelves = [shelf for shelf in self._shelves if where in ("", shelf.name)]
        looks: list[Look] = [partial(_on_shelf, shelf, bare, name) for shelf in shelves]
        last: Look = partial(self._on_the_medium, where, bare, name)
        found = _with_root(root, (*looks, last)) if root else _first(looks, last, bare)
        if found is None:
            raise _no_image(name)
        return found

    def _on_the_medium(self, where: str, bare: str, name: str) -> LibraryImage | None:
        medium = self._medium()
        if medium is not None and where in ("", MEDIUM):
            path = images_of(medium) / f"{bare}{SUFFIX}"
            if path.is_dir():
                return _opened(Image.open(path), name, medium.key)
        return None


# Opens the image that one place has of a name; None: it has none.
Look = Callable[[], LibraryImage | None]


def _on_shelf(shelf: Shelf, bare: str, name: str) -> LibraryImage | None:
    return _opened(shelf.open(bare), name, source=shelf.source) if shelf.has(bare) else None


def _first(shelves: Sequence[Look], medium: Look, bare: str) -> LibraryImage | None:
    """The first on ``shelves``, or that of the medium. Raises Refused when there are both.

    A folder that cannot be asked is no reason to take another's image of that name.
    """
    first = next((image for look in shelves if (image := look()) is not None), None)
    with ExitStack() as undo:
        if first is not None:
            undo.callback(first.close)
        other = medium()
        if first is not None and other is not None:
            other.close()
            raise Refused(
                f"both the library and the medium have an image {bare}",
                hint=f"say which: {LIBRARY}/{bare} or {MEDIUM}/{bare}",
            )
        undo.pop_all()
    return first or other


def _with_root(root: str, looks: Sequence[Look]) -> LibraryImage | None:
    """The first with that ``root``, wherever it lies; else the first at all.

    A folder that cannot be asked fails this only when no other has it.
    """
    failures: list[FleetcastError] = []
    with ExitStack() as others:
        first: LibraryImage | None = None
        for look in looks:
            try:
                image = look()
            except FleetcastError as error:
                failures.append(error)
                continue
            if image is not None and image.root == root:
                return image
            if image is not None and first is None:
                others.callback(image.close)
                first = image
            elif image is not None:
                image.close()
        if failures:
            raise failures[0]
        others.pop_all()
    return first


def _no_image(name: str) -> NotFound:
    return NotFound(f"there is no image {name[:40]!r}", hint="`fleetcast image list` shows all")


def _opened(
    image: Image,
    name: str,
    medium: str = "",
    source: Callable[[Image], ProvenSource] = ProvenSource,
) -> LibraryImage:
    if image.manifest.chunk_count == 0:
        image.close()
        raise BadImage(f"image {name} holds nothing to cast")
    try:
        return LibraryImage(image, name, medium, source)
    except BaseException:
        image.close()
        raise

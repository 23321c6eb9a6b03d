"""The images that a new one is based on: it stores only what they do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from castcore.edge.image.borrowers import kept
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import image_name
from castcore.errors import Refused
from castcore.image import Lending, Loan
from castcore.trust import digest as name_of


class Bases:
    """Open images that lend their contents; usable from several threads."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._bases = [
            (image, Lending(image_name(image.path), image.manifest, image.index, image.borrowed))
            for image in images
        ]

    def loan(self, digest: bytes) -> Loan | None:
        """Where the content of this digest is stored already; None: nowhere.

        It is read and proven there first: what is damaged is not borrowed, now or ever. Raises
        BadImage naming the damaged base, DiskFailed.
        """
        for image, lending in self._bases:
            chunk = lending.find(digest)
            if chunk is not None:
                stored = image.read_proven(chunk)
                return replace(lending.loan(chunk), digest=name_of(stored))
        return None


@contextmanager
def opened_bases(paths: Sequence[Path], new: Path) -> Iterator[Bases]:
    """The images at ``paths``, to be borrowed from by ``new``; nobody removes them within the block.

    Raises NotFound, BadImage, DiskFailed, InUse, and Refused for a link, one of another store
    or ``new`` itself.
    """
    with ExitStack() as stack:
        images = []
        for path in paths:
            _require_image(path)
            _require_sibling(path, new)
            stack.enter_context(kept(path))
            images.append(stack.enter_context(Image.open(path)))
        yield Bases(images)


def _require_image(path: Path) -> None:
    # What borrows is noted under the name it was given: the image behind a link would seem free to go.
    if path.is_symlink():
        raise Refused(f"{path} is a link, not an image", hint="name the image that it leads to")


def _require_sibling(path: Path, new: Path) -> None:
    if path.parent.resolve() != new.parent.resolve():
        raise Refused(
            f"{path} is in another store than {new}: an image borrows from its own store only",
            hint="`fleetcast image copy` brings it there",
        )
    if path.name == new.name:
        raise Refused(f"{new} cannot borrow from the image that it replaces", hint="choose another name")

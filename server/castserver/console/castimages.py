"""The images that a cast can be made of, for the live page: read anew only when one came or went."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from castcore.errors import NotFound

from castserver.api.views import ImageView, image_view
from castserver.images.library import Library
from castserver.images.shelves import LIBRARY


@dataclass(frozen=True, slots=True)
class CastImage:
    """One image; ``name`` is what a cast asks for it by, ``medium`` what it is on ("": the library)."""

    name: str
    image: str
    used: int
    medium: str


def cast_images(library: Library) -> Callable[[], tuple[CastImage, ...]]:
    """What tells the images of ``library`` that can be cast."""
    kept: tuple[object, tuple[CastImage, ...]] = (None, ())

    def told() -> tuple[CastImage, ...]:
        nonlocal kept
        if (mark := library.mark()) != kept[0]:
            kept = mark, _read(library)
        return kept[1]

    return told


def _read(library: Library) -> tuple[CastImage, ...]:
    try:
        views = [view for view in map(image_view, library.all()) if not view.problem]
    except NotFound:  # the directory is gone: the page shows all else
        return ()
    twice = {name for name, n in Counter(view.image for view in views).items() if n > 1}
    return tuple(_entry(view, named_by_place=view.image in twice) for view in views)


def _entry(view: ImageView, *, named_by_place: bool) -> CastImage:
    if view.where != LIBRARY:
        return CastImage(view.cast_as, view.image, view.used, view.where)
    name = f"{LIBRARY}/{view.image}" if named_by_place else view.image
    return CastImage(name, view.image, view.used, "")

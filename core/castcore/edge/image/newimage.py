"""A new image in a store: its name asked for, its directory made, there complete or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from castcore.edge.image.borrowers import require_replaceable
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.packing import ChunkPacker, DiskChunk
from castcore.edge.image.partial import Partial, exists, remove_stale
from castcore.edge.image.store import image_name, writing_to
from castcore.edge.inorder import in_order
from castcore.errors import NotFound
from castcore.image import DEFAULT_LEVEL
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import human


@contextmanager
def new_image(image_path: Path, *, replace: bool = False) -> Iterator[Path]:
    """The directory to write the image ``image_path`` into; it appears when the block ends well.

    Raises Refused (the name is taken, or no name; what may borrow from the image to be replaced cannot
    be read), InUse (others borrow from that), NotFound, NoSpace, DiskFailed.
    """
    require_free_name(image_path, replace=replace)
    store = image_path.parent
    if store.exists() and not store.is_dir():
        raise NotFound(f"no image store at {store}: it is a file", hint="name a directory as the store")
    with writing_to(store):
        store.mkdir(parents=True, exist_ok=True)
        remove_stale(store)
    with Partial(store, image_name(image_path)) as partial:
        yield partial.path
        partial.publish(image_path, replace=replace)


def require_free_name(image_path: Path, *, replace: bool) -> None:
    """Return when an image can get the name: it is free, or whose it is may be replaced.

    Raises Refused (also where others cannot be read, and may borrow), InUse. What changes meanwhile
    is noticed when the image is published.
    """
    if image_path.exists():
        if not replace:
            raise exists(image_path)
        require_replaceable(image_path)


def write_contents(
    writer: ImageWriter,
    chunks: Iterable[DiskChunk],
    goal: int,
    *,
    level: int = DEFAULT_LEVEL,
    progress: ProgressCallback = silent,
) -> None:
    """Add ``chunks``, which come in the order of disks and regions; ``goal`` is their bytes together.

    They are taken by one thread, digested and compressed by several. Raises NoSpace, DiskFailed,
    BadImage (a damaged base), and what ``chunks`` raises.
    """
    packer, done = ChunkPacker(writer, level), 0
    with closing(in_order(packer.pack, chunks)) as packed:
        for one in packed:
            writer.add(one.record, one.stored, one.loan)
            done += one.record.length
            progress(Progress("import", done, goal, f"{human(writer.stored)} stored"))

"""An image made from contents that come in their order, from wherever: there complete or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.store import Partial, image_name, remove_stale, writing_to
from castcore.edge.inorder import in_order
from castcore.errors import NotFound, Refused
from castcore.image import (
    DEFAULT_LEVEL,
    ChunkEncoder,
    ChunkKind,
    ChunkRecord,
    Codec,
    Content,
    is_zero,
)
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import digest
from castcore.units import human


@dataclass(frozen=True, slots=True)
class DiskChunk:
    """The ``content`` of one chunk: ``region`` of disk number ``disk``, zeros where it is not in use."""

    disk: int
    region: Extent
    content: Content


@contextmanager
def new_image(image_path: Path, *, replace: bool = False) -> Iterator[Path]:
    """The directory to write the image ``image_path`` into; it appears when the block ends well.

    Raises Refused (the name is taken, or no name), NotFound, NoSpace, DiskFailed.
    """
    if image_path.exists() and not replace:
        raise Refused(
            f"{image_path} exists already",
            hint="choose another name, or have it replaced: `fleetcast image import --replace`",
        )
    store = image_path.parent
    if store.exists() and not store.is_dir():
        raise NotFound(f"no image store at {store}: it is a file", hint="name it with --store DIR")
    with writing_to(store):
        store.mkdir(parents=True, exist_ok=True)
        remove_stale(store)
    with Partial(store, image_name(image_path)) as partial:
        yield partial.path
        partial.publish(image_path, replace=replace)


def write_contents(
    writer: ImageWriter,
    chunks: Iterable[DiskChunk],
    goal: int,
    *,
    level: int = DEFAULT_LEVEL,
    progress: ProgressCallback = silent,
) -> None:
    """Add ``chunks``, which come in the order of disks and regions; ``goal`` is their bytes together.

    They are taken by one thread, digested and compressed by several. Raises NoSpace, DiskFailed, and
    what ``chunks`` raises.
    """
    packer, done = _Packer(writer, level), 0
    with closing(in_order(packer.pack, chunks)) as packed:
        for record, stored in packed:
            writer.add(record, stored)
            done += record.length
            progress(Progress("import", done, goal, f"{human(writer.stored)} stored"))


class _Packer:
    """Digests and compresses one chunk at a time, in whichever thread calls."""

    def __init__(self, writer: ImageWriter, level: int) -> None:
        self._writer, self._level = writer, level
        self._local = threading.local()

    def pack(self, chunk: DiskChunk) -> tuple[ChunkRecord, Content]:
        region, content = chunk.region, chunk.content
        name = digest(content)
        if is_zero(content):
            return ChunkRecord(chunk.disk, region.start, region.length, ChunkKind.ZERO, name), b""
        codec: Codec = Codec.RAW
        stored: Content = b""
        if not self._writer.holds(name):
            codec, stored = self._encoder().encode(content)
        record = ChunkRecord(chunk.disk, region.start, region.length, ChunkKind.DATA, name, codec=codec)
        return record, stored

    def _encoder(self) -> ChunkEncoder:
        encoder: ChunkEncoder | None = getattr(self._local, "encoder", None)
        if encoder is None:
            encoder = self._local.encoder = ChunkEncoder(self._level)
        return encoder

"""Where an image that is being uploaded lies: its packs, and a journal of what they hold.

The journal lets an upload go on after the server was restarted or killed: what it names and the packs
hold is kept, the rest is sent again.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from castcore import canonical
from castcore.edge.image.imagewriter import ImageWriter, Place, Written, write_all, write_synced
from castcore.edge.image.partial import Partial
from castcore.edge.image.store import PARTIAL, free_space, read_file, writing_to
from castcore.errors import BadImage, BadPacket, FleetcastError, NoSpace
from castcore.image import (
    ChunkDecoder,
    ChunkKind,
    ChunkRecord,
    Codec,
    Manifest,
    chunk_regions,
    pack_name,
    zero_digest,
)
from castcore.plain import from_plain
from castcore.trust import DIGEST_SIZE, digest
from castcore.units import GIB, MIB, human
from castcore.upload import StoredContent

OWNER_FILE = "upload.json"
OWNER_LIMIT = 64 << 10
JOURNAL_FILE = "journal-2"  # one without lengths was named "journal"
JOURNAL_LIMIT = GIB
# What is left free on the library's disk: other programs and the server's own state live there too.
RESERVE = 64 * MIB

# size, codec, pack, offset, the content's length, digest of the stored bytes, digest of the content
ENTRY = struct.Struct(f"<IB3xIII{DIGEST_SIZE}s{DIGEST_SIZE}s")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose upload it is: the machine's id, and the image's full name."""

    client: str
    image: str


class UploadStore:
    """The contents of one upload; one thread at a time calls. Raises NoSpace, DiskFailed."""

    def __init__(
        self, partial: Partial, owner: Owner, written: Written, lengths: dict[bytes, int]
    ) -> None:
        self.owner, self._partial = owner, partial
        self._lengths = lengths  # of the contents it holds, by digest
        self._library = partial.path.parent
        self._writer = ImageWriter(partial.path, written=written)
        with writing_to(self._library):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._journal = os.open(partial.path / JOURNAL_FILE, flags, 0o600)

    @classmethod
    def new(cls, library: Path, owner: Owner) -> UploadStore:
        """An empty one in ``library``."""
        partial = Partial(library, owner.image)
        try:
            write_synced(partial.path / OWNER_FILE, canonical.encode(asdict(owner)))
            return cls(partial, owner, Written(), {})
        except BaseException:
            partial.remove()
            raise

    @classmethod
    def adopt(cls, path: Path) -> UploadStore | None:
        """What a server that has ended left at ``path``; None when it is no upload, or no good."""
        if not PARTIAL.fullmatch(path.name) or not (path / OWNER_FILE).is_file():
            return None
        partial = Partial.adopt(path)
        if partial is None:
            return None
        try:
            data = read_file(path / OWNER_FILE, OWNER_LIMIT)
            owner = from_plain(Owner, canonical.decode(data, limit=OWNER_LIMIT))
            return cls(partial, owner, *_written(path))
        except FleetcastError:
            partial.remove()
            return None

    @property
    def held(self) -> int:
        """How many contents it holds."""
        return len(self._lengths)

    def held_with(self, contents: Iterable[StoredContent]) -> int:
        """How many it would hold with ``contents``."""
        return self.held + len({one.digest for one in contents} - self._lengths.keys())

    def contents(self) -> list[bytes]:
        """The digests of the contents it holds."""
        return list(self._lengths)

    def missing(self, digests: Iterable[bytes], lengths: Iterable[int]) -> int:
        """How many of the chunks with these ``digests`` and ``lengths`` have no content here.

        Raises BadPacket for a content of another length.
        """
        missing = 0
        for name, length in zip(digests, lengths, strict=True):
            known = self._lengths.get(name)
            if known is None:
                missing += name != zero_digest(length)
            elif known != length:
                raise BadPacket(f"a chunk of {length} bytes with a content of {known}")
        return missing

    def keep(self, contents: Iterable[StoredContent]) -> None:
        """Store ``contents``, which were proven."""
        entries = bytearray()
        require_room(self._library)
        for one in contents:
            place = self._writer.keep(one.digest, one.codec, one.stored)
            if place is not None:
                self._lengths[one.digest] = one.length
                size, codec, pack, offset, stored_digest = place
                entries += ENTRY.pack(size, codec, pack, offset, one.length, stored_digest, one.digest)
        with writing_to(self._library):
            write_all(self._journal, entries)

    def publish(
        self,
        plan: Manifest,
        digests: Iterable[bytes],
        image: Path,
        *,
        replace: bool,
        ready: Callable[[Manifest], None],
    ) -> Manifest:
        """Make it the image of ``plan``, whose chunks have these ``digests``, at ``image``.

        ``ready`` is called when all of it is durable, before it gets its name; what it raises stops it.
        Raises Refused and InUse too: as `castcore.edge.image.partial.Partial.publish`.
        """
        regions = (
            (number, region)
            for number, disk in enumerate(plan.disks)
            for region in chunk_regions(disk.in_use, disk.layout.size)
        )
        for (number, region), name in zip(regions, digests, strict=True):
            zero = name == zero_digest(region.length)
            kind = ChunkKind.ZERO if zero else ChunkKind.DATA
            self._writer.add(ChunkRecord(number, region.start, region.length, kind, name), b"")
        manifest = self._writer.finish(plan)
        ready(manifest)
        for ours in (OWNER_FILE, JOURNAL_FILE):
            (self._partial.path / ours).unlink()
        self._partial.publish(image, replace=replace)
        self.remove()  # what is left is the image that was replaced
        return manifest

    def remove(self) -> None:
        """Nothing of it stays."""
        self._close()
        self._partial.remove()

    def leave(self) -> None:
        """Let it lie for the next server to go on with."""
        try:
            self._writer.sync()
        finally:
            self._close()
        self._partial.leave()

    def _close(self) -> None:
        self._writer.__exit__(None, None, None)
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1


def require_room(library: Path, needed: int = 0) -> None:
    """Return while ``library`` has room for ``needed`` bytes and some more. Raises NoSpace."""
    free = free_space(library)
    if free < needed + RESERVE:
        raise NoSpace(
            f"the server's library {library} is full: {human(free)} free, {human(RESERVE)} of it kept"
            + (f", and {human(needed)} needed for the index alone" if needed else ""),
            hint="free some space there, or give the server another library",
        )


def _written(directory: Path) -> tuple[Written, dict[bytes, int]]:
    """What the packs in ``directory`` hold of what the journal names, and how long each content is.

    The rest is cut off or removed.

    Only the last pack was being written: the others were synced when they were full. Raises DiskFailed,
    BadImage.
    """
    entries = _entries(read_file(directory / JOURNAL_FILE, JOURNAL_LIMIT))
    last = max((pack for _, _, pack, *_ in entries), default=-1)
    files = [directory / pack_name(number) for number in range(last + 1)]
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    good, named = [0] * len(files), 0
    places: dict[bytes, Place] = {}
    lengths: dict[bytes, int] = {}
    for number, (size, codec, pack, offset, length, stored_digest, name) in enumerate(entries, 1):
        if offset != good[pack] or offset + size > sizes[pack]:
            continue  # behind something that was lost
        if pack == last and digest(_read(files[pack], offset, size)) != stored_digest:
            continue
        good[pack], named = offset + size, number
        places[name] = Place(size, Codec(codec), pack, offset, stored_digest)
        lengths[name] = length
    while good and not good[-1]:
        good.pop()
    _cut_off(directory, good, named * ENTRY.size)
    return Written(good, places), lengths


def _entries(journal: bytes) -> list[tuple[Any, ...]]:
    """The entries of ``journal`` up to the first that was torn or lost."""
    entries: list[tuple[Any, ...]] = []
    highest = -1
    for entry in ENTRY.iter_unpack(memoryview(journal)[: len(journal) // ENTRY.size * ENTRY.size]):
        size, codec, pack, *_ = entry
        if not size or codec not in (Codec.RAW, Codec.ZSTD) or pack > highest + 1:
            break
        highest = max(highest, pack)
        entries.append(entry)
    return entries


def _cut_off(directory: Path, packs: Sequence[int], journal: int) -> None:
    """Leave the first ``packs``, of these sizes, and so many bytes of the ``journal``, durably.

    A pack that the journal does not name was begun just before a kill, or the journal's end was lost.
    """
    sizes = {directory / pack_name(number): size for number, size in enumerate(packs)}
    with writing_to(directory):
        for path in directory.glob("pack-*"):
            if path not in sizes:
                path.unlink()
        for path, size in (sizes | {directory / JOURNAL_FILE: journal}).items():
            with path.open("ab") as file:
                file.truncate(size)
                os.fsync(file.fileno())


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def proven(contents: Iterable[StoredContent], decoder: ChunkDecoder) -> list[StoredContent]:
    """``contents`` once each is what its digest names. Raises BadPacket."""
    checked = []
    for one in contents:
        size = len(one.stored)
        if size > one.length or (size == one.length) != (one.codec is Codec.RAW):
            raise BadPacket(f"a content of {one.length} bytes, {size} stored by {one.codec.name}")
        record = ChunkRecord(0, 0, one.length, ChunkKind.DATA, one.digest, size, one.codec)
        try:
            decoder.decode(record, memoryview(one.stored))
        except BadImage as error:
            raise BadPacket(f"content {one.digest.hex()[:16]}: {error.what}") from None
        checked.append(one)
    return checked

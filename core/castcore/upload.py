"""What a client and the server say while an image is uploaded; ``docs/control.md``, "Uploads".

Contents travel by their digests, in any order and any number of times: what arrived twice is there
once, and what arrived before a link or a client was lost need not come again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from castcore import canonical
from castcore.control import API, Message
from castcore.disk import Extents
from castcore.errors import BadImage, BadPacket
from castcore.image import (
    CHUNK_SIZE,
    Codec,
    Content,
    Manifest,
    chunk_total,
    encode_manifest,
    parse_manifest,
)
from castcore.image.manifest import from_runs, to_runs
from castcore.trust import DIGEST_SIZE
from castcore.units import MIB

UPLOADS = f"{API}/uploads"
# The plan of a disk with some hundred thousand extents in use; one with more is captured locally.
PLAN_LIMIT = 16 * MIB
# The contents of one request: two chunks that do not compress and a third, with their heads.
CONTENTS_LIMIT = 4 * MIB
# Digests of one request: 64 GiB of a disk.
DIGESTS_LIMIT = 2 * MIB
UNREADABLE_LIMIT = MIB

# length, stored, codec, digest of the content; the stored bytes follow
HEAD = struct.Struct(f"<IIB3x{DIGEST_SIZE}s")


@dataclass(frozen=True, slots=True)
class NewUpload:
    """POST /uploads: the image asked for, and the ``plan``: its manifest before a chunk was read.

    The server completes the name ``image`` ("": it finds one). ``order`` is the capture that an order
    named, "" for one begun at the machine. ``replace`` an older image that this machine uploaded under
    the same name, once the new one is whole. The answer is :class:`Opened`.
    """

    image: str
    plan: Manifest
    order: str = ""
    replace: bool = False

    def encode(self) -> bytes:
        """The request's body."""
        whole = replace(self.plan, index_digest=bytes(DIGEST_SIZE), chunk_count=chunks_of(self.plan))
        plan = canonical.decode(encode_manifest(whole), limit=PLAN_LIMIT)
        return canonical.encode(
            {"image": self.image, "order": self.order, "replace": self.replace, "plan": plan}
        )

    @classmethod
    def parse(cls, data: bytes) -> NewUpload:
        """The request that ``data`` spells. Raises BadPacket."""
        value = canonical.decode(data, limit=PLAN_LIMIT)
        if not isinstance(value, dict) or value.keys() != {"image", "order", "replace", "plan"}:
            raise BadPacket("an upload has image, order, replace and plan, nothing else")
        image, order, again = value["image"], value["order"], value["replace"]
        if not isinstance(image, str) or not isinstance(order, str) or not isinstance(again, bool):
            raise BadPacket("image and order of an upload are texts, replace is true or false")
        try:
            plan = parse_manifest(canonical.encode(value["plan"]))
        except BadImage as error:
            raise BadPacket(f"an upload's plan: {error.what}") from None
        if plan.packs or plan.lenders or plan.borrowed or plan.stored_digest:
            raise BadPacket("an upload's plan speaks of packs, which it has none of")
        if not 0 < len(plan.disks) <= MOST_DISKS:
            raise BadPacket(f"an upload of {len(plan.disks)} disks")
        return cls(image, plan, order, again)


MOST_DISKS = 64


@dataclass(frozen=True, slots=True)
class Opened(Message):
    """The upload's id, the image's full name, its chunks, and how many contents are there already."""

    upload: str
    image: str
    chunks: int
    held: int


@dataclass(frozen=True, slots=True)
class Committed(Message):
    """The image is whole (``missing`` 0): its name, root (hex) and the bytes it stores.

    Else ``missing`` contents have to come first.
    """

    image: str
    root: str = ""
    stored: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class StoredContent:
    """One content on its way: ``length`` bytes named by ``digest``, ``stored`` as ``codec`` says."""

    length: int
    codec: Codec
    digest: bytes
    stored: Content

    @property
    def size(self) -> int:
        """The bytes it takes in a request."""
        return HEAD.size + len(self.stored)


def chunks_of(plan: Manifest) -> int:
    """How many chunks the image of ``plan`` has."""
    return sum(chunk_total(disk.in_use) for disk in plan.disks)


def encode_contents(contents: Iterable[StoredContent]) -> bytes:
    """The body of POST /uploads/ID/chunks."""
    parts: list[Content] = []
    for one in contents:
        parts += (HEAD.pack(one.length, len(one.stored), one.codec, one.digest), one.stored)
    return b"".join(parts)


def decode_contents(data: bytes) -> list[StoredContent]:
    """The contents in ``data``, each no larger than a chunk; not proven. Raises BadPacket."""
    view, at, found = memoryview(data), 0, []
    while at < len(data):
        if len(data) - at < HEAD.size:
            raise BadPacket("a content's head is cut short")
        length, stored, codec, name = HEAD.unpack_from(data, at)
        at += HEAD.size
        if codec not in (Codec.RAW, Codec.ZSTD) or not 0 < stored <= length <= CHUNK_SIZE:
            raise BadPacket(f"a content of {length} bytes, {stored} stored by codec {codec}")
        if len(data) - at < stored:
            raise BadPacket("a content is cut short")
        found.append(StoredContent(length, Codec(codec), name, view[at : at + stored]))
        at += stored
    return found


def split_digests(data: bytes) -> list[bytes]:
    """The digests that follow each other in ``data``. Raises BadPacket."""
    if len(data) % DIGEST_SIZE:
        raise BadPacket(f"{len(data)} bytes are no row of digests")
    return [data[at : at + DIGEST_SIZE] for at in range(0, len(data), DIGEST_SIZE)]


def encode_unreadable(disks: Sequence[Extents]) -> dict[str, Any]:
    """The body of POST /uploads/ID/commit: of each disk what could not be read, zeros in the image."""
    return {"unreadable": [to_runs(extents) for extents in disks]}


def parse_unreadable(data: bytes, count: int) -> list[Extents]:
    """What :func:`encode_unreadable` made for ``count`` disks. Raises BadPacket."""
    value = canonical.decode(data, limit=UNREADABLE_LIMIT)
    if not isinstance(value, dict) or value.keys() != {"unreadable"}:
        raise BadPacket("a commit says what was unreadable, nothing else")
    runs = value["unreadable"]
    if not isinstance(runs, list) or len(runs) != count:
        raise BadPacket(f"a commit says what was unreadable of each of its {count} disks")
    try:
        return [from_runs(one) for one in runs]
    except (TypeError, ValueError) as error:
        raise BadPacket(f"what was unreadable: {error}") from None

"""Another reader of images, written from FORMAT.md alone: it imports nothing of ours.

It is small where a product would be fast, and strict: whatever the document lets a reader refuse
ends in :class:`NotAnImage`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CHUNK = 1048576
MOST_MANIFEST = 64 * 1048576
MOST_PACK = 2147483648
HEADER = struct.Struct("<8sHHIQ40s")
RECORD = struct.Struct("<QIIIIHBBI32s")
MOST_PIECES = 1048576
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DATA, ZERO = 1, 2
NONE, RAW, ZSTD = 0, 1, 2
Range = tuple[int, int]  # start, end


class NotAnImage(Exception):
    """What a reader refuses."""


@dataclass(frozen=True)
class Chunk:
    """One record, and the bytes of its region that are in use."""

    disk: int
    offset: int
    content: bytes
    in_use: list[Range]


def require(good: bool, why: str) -> None:
    if not good:
        raise NotAnImage(why)


def read_image(folder: Path) -> tuple[dict[str, Any], list[Chunk]]:
    """The manifest and every chunk of the image ``folder``, each proven."""
    raw = (folder / "manifest.json").read_bytes()
    require(len(raw) <= MOST_MANIFEST, "a manifest over 64 MiB")
    manifest = json.loads(raw)
    spelled = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    require(spelled.encode() == raw, "not canonical")
    require(manifest["format"] == "fleetcast-image" and manifest["version"] in (1, 2), "another format")
    require(manifest["chunk_size"] == CHUNK, "another chunk size")
    if (folder / "manifest.sig").exists():
        check_signature(raw, (folder / "manifest.sig").read_bytes())
    packs = open_packs(folder, manifest)
    index = (folder / "index").read_bytes()
    count = manifest["index"]["records"]
    require(len(index) == HEADER.size + count * RECORD.size, "the index's length")
    require(blake3(index).hexdigest() == manifest["index"]["digest"], "the index's digest")
    head = HEADER.unpack_from(index)
    require(head == (b"FCASTIDX", 1, RECORD.size, CHUNK, count, bytes(40)), "the index's header")
    records = RECORD.iter_unpack(index[HEADER.size :])
    if "stored_digests" in manifest:
        digests = (folder / "stored-digests").read_bytes()
        require(blake3(digests).hexdigest() == manifest["stored_digests"], "the stored digests")
        check_stored(digests, list(RECORD.iter_unpack(index[HEADER.size :])), packs)
    chunks = []
    for disk, regions in enumerate(map(regions_of, manifest["disks"])):
        for offset, length, used in regions:
            record = next(records, None)
            require(record is not None, "fewer records than chunks in use")
            assert record is not None
            require((record[5], record[0], record[2]) == (disk, offset, length), "not the region")
            chunks.append(Chunk(disk, offset, content_of(record, packs, used), used))
    require(next(records, None) is None, "more records than chunks in use")
    return manifest, chunks


def check_stored(digests: bytes, records: list[tuple[Any, ...]], packs: list[list[bytes]]) -> None:
    require(len(digests) == 32 * len(records), "the number of stored digests")
    for number, (_, at, _, stored, pack, _, kind, _, _, _) in enumerate(records):
        digest = digests[32 * number : 32 * number + 32]
        if kind == DATA:
            told = digest in (bytes(32), blake3(stored_bytes(packs[pack], at, stored)).digest())
            require(told, "a stored digest")
        else:
            require(digest == bytes(32), "a stored digest of zeros")


def check_signature(manifest: bytes, signature: bytes) -> None:
    require(len(signature) == 96, "a signature's length")
    try:
        key = Ed25519PublicKey.from_public_bytes(signature[:32])
        key.verify(signature[32:], b"fleetcast image manifest\0" + manifest)
    except InvalidSignature:
        raise NotAnImage("the signature does not hold") from None


def open_packs(folder: Path, manifest: dict[str, Any]) -> list[list[bytes]]:
    """The bytes of every pack: of a borrowed one each piece, else the file as a single piece."""
    lenders = manifest["lenders"] if manifest["version"] == 2 else []
    borrowed = [pack["pieces"] for pack in manifest["packs"] if lenders and "pieces" in pack]
    require(sum(map(len, borrowed)) <= MOST_PIECES, "too many pieces")
    used = {piece[0] for pieces in borrowed for piece in pieces}
    require(used == set(range(len(lenders))), "a lender that lends nothing, or a piece of none")
    require(manifest["version"] == 1 or bool(lenders), "version 2 that borrows nothing")
    require(len({lender["name"] for lender in lenders}) == len(lenders), "a lender named twice")
    require(all(NAME.fullmatch(lender["name"]) for lender in lenders), "a lender's name")
    packs = []
    for number, pack in enumerate(manifest["packs"]):
        name, size = pack["name"], pack["size"]
        require(name == f"pack-{number:04d}" and size <= MOST_PACK, "a pack's name or size")
        pieces = pack.get("pieces") if lenders else None
        if pieces is not None:
            require(sum(piece[3] for piece in pieces) == size > 0, "pieces of another size")
        if pieces is not None and not (folder / name).exists():
            packs.append([borrowed_piece(folder, lenders, piece) for piece in pieces])
            continue
        data = (folder / name).read_bytes()
        require(len(data) == size, "a pack's size")
        packs.append([data] if pieces is None else cut(data, [piece[3] for piece in pieces]))
    return packs


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    """``data`` in pieces of ``lengths``."""
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def borrowed_piece(folder: Path, lenders: list[dict[str, Any]], piece: list[int]) -> bytes:
    """The bytes of a piece, out of its lender's own pack."""
    lender, number, offset, length = piece
    require(length > 0 and offset >= 0 and offset + length <= MOST_PACK, "a piece's place")
    name, index = lenders[lender]["name"], lenders[lender]["index"]
    other = folder.parent / f"{name}.fcast"
    require(other.name != folder.name and other.is_dir(), "a lender that is not there")
    known = (other / "index").read_bytes()
    require(len(known) == HEADER.size + index["records"] * RECORD.size, "a lender of other size")
    require(blake3(known).hexdigest() == index["digest"], "a lender that was replaced")
    require((other / f"pack-{number:04d}").is_file(), "a lender's pack that is not there")
    with (other / f"pack-{number:04d}").open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    require(len(data) == length, "a piece that goes beyond its pack")
    return data


def stored_bytes(pieces: list[bytes], at: int, stored: int) -> bytes:
    """Bytes ``at`` to ``at + stored`` of a pack; they lie in one of its pieces."""
    start = 0
    for data in pieces:
        if start <= at < start + len(data):
            require(at + stored <= start + len(data), "stored bytes outside of their pack or piece")
            return data[at - start : at - start + stored]
        start += len(data)
    raise NotAnImage("stored bytes outside of their pack")


def used_ranges(runs: list[int]) -> list[Range]:
    require(len(runs) % 2 == 0 and all(run > 0 for run in runs[1:]), "runs in use")
    ranges, at = [], 0
    for skip, length in zip(runs[::2], runs[1::2], strict=True):
        ranges.append((at + skip, at + skip + length))
        at += skip + length
    return ranges


def regions_of(disk: dict[str, Any]) -> Iterator[tuple[int, int, list[Range]]]:
    """Each chunk of a disk: its offset, its length, and what of it is in use."""
    size, ranges = disk["layout"]["size"], used_ranges(disk["in_use"])
    require(not ranges or ranges[-1][1] <= size < 1 << 62, "in use after the disk's end")
    touched: dict[int, list[Range]] = {}
    for start, end in ranges:
        for region in range(start // CHUNK, (end - 1) // CHUNK + 1):
            low, high = max(start, region * CHUNK), min(end, (region + 1) * CHUNK)
            touched.setdefault(region, []).append((low, high))
    for region, used in sorted(touched.items()):
        yield region * CHUNK, min(CHUNK, size - region * CHUNK), used


def content_of(record: tuple[Any, ...], packs: list[list[bytes]], used: list[Range]) -> bytes:
    offset, at, length, stored, pack, _, kind, codec, reserved, digest = record
    require(reserved == 0, "a record's reserved bytes")
    if kind == ZERO:
        require((codec, stored, pack, at) == (NONE, 0, 0, 0), "a zero record")
        content = bytes(length)
    else:
        require(kind == DATA and pack < len(packs), "a record's kind or pack")
        data = stored_bytes(packs[pack], at, stored)
        if codec == RAW:
            require(stored == length, "raw bytes of another length")
            content = data
        else:
            require(codec == ZSTD and 0 < stored < length, "a record's codec")
            content = expanded(data, length)
    require(blake3(content).digest() == digest, "a content's digest")
    covered = offset
    for start, end in used:
        require(not any(content[covered - offset : start - offset]), "a hole that is not zero")
        covered = end
    require(not any(content[covered - offset :]), "a hole that is not zero")
    return content


def expanded(data: bytes, length: int) -> bytes:
    try:
        require(zstandard.frame_content_size(data) == length, "a frame's content size")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise NotAnImage(f"no zstd frame: {error}") from None


def restore(manifest: dict[str, Any], chunks: list[Chunk], disk: int, target: bytearray) -> None:
    """Write what is in use of ``disk`` to ``target``, which has the source's size."""
    layout = manifest["disks"][disk]["layout"]
    require(len(target) == layout["size"], "this reader restores to a disk of the same size only")
    for chunk in chunks:
        if chunk.disk == disk:
            for start, end in chunk.in_use:
                target[start:end] = chunk.content[start - chunk.offset : end - chunk.offset]
    if layout["table"] == "gpt":
        put_backup(target, layout["sector_size"], manifest["disks"][disk]["in_use"])


def put_backup(target: bytearray, sector: int, runs: list[int]) -> None:
    """The backup of the GPT at the target's end, from the primary one (UEFI 2.10, 5.3)."""
    header = struct.Struct("<8sIIIIQQQQ16sQIII")
    fields = list(header.unpack_from(target, sector))
    entries_at, count, size = fields[10:13]
    entries = bytes(target[entries_at * sector : entries_at * sector + count * size])
    sectors = -(-len(entries) // sector)
    last = len(target) // sector - 1
    place = (last - sectors) * sector
    if any(end > place for _, end in used_ranges(runs)):
        return
    fields[3], fields[5], fields[6], fields[10] = 0, last, 1, last - sectors
    raw = header.pack(*fields)
    fields[3] = crc32(raw)
    target[place : place + len(entries)] = entries
    target[last * sector : last * sector + header.size] = header.pack(*fields)

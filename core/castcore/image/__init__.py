"""The image format: manifest, index, packs; pure. ``FORMAT.md`` beside this file is its document."""

from castcore.image.index import (
    Index,
    encode_index,
    index_size,
    parse_index,
)
from castcore.image.manifest import (
    FORMAT_VERSION,
    MANIFEST_LIMIT,
    NAME,
    PACK_LIMIT,
    ImageDisk,
    Manifest,
    Source,
    encode_manifest,
    parse_manifest,
)
from castcore.image.placement import PlacedHead, head_chunks, place_head
from castcore.image.record import (
    CHUNK_SIZE,
    ChunkKind,
    ChunkRecord,
    Codec,
    decode_record,
    encode_record,
    pack_name,
)
from castcore.image.regions import UsedBytes, chunk_regions, chunk_total
from castcore.image.signature import SIGNATURE_FILE_SIZE, sign_manifest, signer
from castcore.image.stored import DEFAULT_LEVEL, MAX_LEVEL, ChunkDecoder, ChunkEncoder, Content, is_zero

__all__ = [
    "CHUNK_SIZE",
    "DEFAULT_LEVEL",
    "FORMAT_VERSION",
    "MANIFEST_LIMIT",
    "MAX_LEVEL",
    "NAME",
    "PACK_LIMIT",
    "SIGNATURE_FILE_SIZE",
    "ChunkDecoder",
    "ChunkEncoder",
    "ChunkKind",
    "ChunkRecord",
    "Codec",
    "Content",
    "ImageDisk",
    "Index",
    "Manifest",
    "PlacedHead",
    "Source",
    "UsedBytes",
    "chunk_regions",
    "chunk_total",
    "decode_record",
    "encode_index",
    "encode_manifest",
    "encode_record",
    "head_chunks",
    "index_size",
    "is_zero",
    "pack_name",
    "parse_index",
    "parse_manifest",
    "place_head",
    "sign_manifest",
    "signer",
]

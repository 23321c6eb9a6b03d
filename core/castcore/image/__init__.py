"""The image format: manifest, index, packs; pure. ``FORMAT.md`` beside this file is its document."""

from castcore.image.borrowing import BorrowedPack, Lender, Piece
from castcore.image.index import (
    Index,
    encode_index,
    index_size,
    parse_index,
)
from castcore.image.lending import Borrowing, Lending, Loan, LoanBook, borrowings
from castcore.image.manifest import (
    MANIFEST_LIMIT,
    ImageDisk,
    Manifest,
    Source,
    encode_manifest,
    parse_manifest,
)
from castcore.image.placement import PlacedHead, head_chunks, place_head
from castcore.image.record import (
    CHUNK_SIZE,
    NAME,
    PACK_LIMIT,
    ChunkKind,
    ChunkRecord,
    Codec,
    decode_record,
    encode_record,
    pack_name,
)
from castcore.image.regions import UsedBytes, chunk_regions, chunk_total
from castcore.image.signature import SIGNATURE_FILE_SIZE, sign_manifest, signer
from castcore.image.stored import (
    DEFAULT_LEVEL,
    MAX_LEVEL,
    ChunkDecoder,
    ChunkEncoder,
    Content,
    zero_digest,
)
from castcore.image.storeddigests import (
    StoredDigests,
    encode_stored_digests,
    parse_stored_digests,
    stored_digests_size,
)

__all__ = [
    "CHUNK_SIZE",
    "DEFAULT_LEVEL",
    "MANIFEST_LIMIT",
    "MAX_LEVEL",
    "NAME",
    "PACK_LIMIT",
    "SIGNATURE_FILE_SIZE",
    "BorrowedPack",
    "Borrowing",
    "ChunkDecoder",
    "ChunkEncoder",
    "ChunkKind",
    "ChunkRecord",
    "Codec",
    "Content",
    "ImageDisk",
    "Index",
    "Lender",
    "Lending",
    "Loan",
    "LoanBook",
    "Manifest",
    "Piece",
    "PlacedHead",
    "Source",
    "StoredDigests",
    "UsedBytes",
    "borrowings",
    "chunk_regions",
    "chunk_total",
    "decode_record",
    "encode_index",
    "encode_manifest",
    "encode_record",
    "encode_stored_digests",
    "head_chunks",
    "index_size",
    "pack_name",
    "parse_index",
    "parse_manifest",
    "parse_stored_digests",
    "place_head",
    "sign_manifest",
    "signer",
    "stored_digests_size",
    "zero_digest",
]

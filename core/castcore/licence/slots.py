"""The blocks of a ledger beside its records: the header, and one block for each licence."""

from __future__ import annotations

import struct

from castcore.errors import Untrusted
from castcore.licence.layout import BLOCK
from castcore.licence.licencefile import MOST_BYTES
from castcore.trust import DIGEST_SIZE, digest, short_digest

MAGIC = b"FLEETLED"
FORMAT = 1
LEDGER_ID_SIZE = 16
NAME_SIZE = 16
_HEADER = struct.Struct("<8sI16s")
_LENGTH = struct.Struct("<I")


def licence_name(data: bytes) -> bytes:
    """What a ledger calls a licence file: the first 16 bytes of its BLAKE3."""
    return short_digest(data, NAME_SIZE)


def encode_header(ledger: bytes) -> bytes:
    """The first block of both copies of the ledger called ``ledger`` (16 bytes)."""
    body = _HEADER.pack(MAGIC, FORMAT, ledger).ljust(BLOCK - DIGEST_SIZE, b"\0")
    return body + digest(body)


def ledger_name(block: bytes) -> bytes | None:
    """The name in a header; None when ``block`` is none, or was changed. Raises Untrusted: too new."""
    body, found = block[:-DIGEST_SIZE], block[-DIGEST_SIZE:]
    if not block.startswith(MAGIC) or digest(body) != found:
        return None
    _, number, name = _HEADER.unpack_from(body)
    if number != FORMAT:
        raise Untrusted(
            f"the ledger's format is {number}, this Fleetcast knows {FORMAT}", hint="use a newer one"
        )
    return bytes(name)


def encode_slot(data: bytes) -> bytes:
    """The block that holds the licence file ``data``."""
    return (_LENGTH.pack(len(data)) + data).ljust(BLOCK, b"\0")


def slot_content(block: bytes) -> bytes:
    """The licence file in ``block``; b"" when there is none."""
    (length,) = _LENGTH.unpack_from(block)
    return block[_LENGTH.size :][:length] if length <= MOST_BYTES else b""

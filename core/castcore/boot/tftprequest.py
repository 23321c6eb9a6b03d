"""TFTP requests, strictly read (RFC 1350, 2347, 2348, 2349), and what is granted of their options."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from castcore.errors import BadPacket

# RFC 2347 section 2: a request with its options fits 512 bytes.
LARGEST_REQUEST = 512
SMALLEST_BLOCK = 8
LARGEST_BLOCK = 65464
# Ethernet's 1500 bytes less IP, UDP and TFTP headers: larger blocks travel in fragments, which PXE
# stacks are bad at putting together.
GRANTED_BLOCK = 1468


class Opcode(IntEnum):
    """The requests that may open a transfer."""

    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class TftpRequest:
    """A wish to read or write ``name``; ``block_size`` None: not asked for."""

    opcode: Opcode
    name: str
    mode: str
    block_size: int | None = None
    wants_size: bool = False

    def granted(self) -> dict[str, int]:
        """The options to acknowledge, by their names; only ones that were asked for (RFC 2347)."""
        options = {}
        if self.block_size is not None:
            options["blksize"] = min(self.block_size, GRANTED_BLOCK)
        if self.wants_size:
            options["tsize"] = 0
        return options


def parse_request(data: bytes) -> TftpRequest:
    """The request in a datagram that opens a transfer. Raises BadPacket.

    Options that are unknown or have a value out of range are left out: the transfer goes on without.
    """
    if not 4 <= len(data) <= LARGEST_REQUEST:
        raise BadPacket(f"a TFTP request of {len(data)} bytes")
    opcode = int.from_bytes(data[:2], "big")
    if opcode not in list(Opcode):
        raise BadPacket(f"TFTP opcode {opcode} opens no transfer")
    words = data[2:].split(b"\0")
    # Every word ends with a zero, so an empty rest must follow the last; some ROMs pad with more zeros.
    if len(words) < 3 or words[-1] or not words[0]:
        raise BadPacket("a TFTP request without a file name and a mode")
    texts = [word.decode("latin-1") for word in words]
    options = {k.lower(): v for k, v in zip(texts[2::2], texts[3::2], strict=False) if k}
    return TftpRequest(
        Opcode(opcode),
        name=texts[0],
        mode=texts[1].lower(),
        block_size=_block_size(options.get("blksize", "")),
        wants_size="tsize" in options,
    )


def _block_size(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    size = int(text)
    return size if SMALLEST_BLOCK <= size <= LARGEST_BLOCK else None

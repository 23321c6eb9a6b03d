"""DHCP options: their codes, and the field they travel in as bytes (RFC 2132, RFC 3396, RFC 4578).

``parse_options`` joins what a sender spread over the options field and the overloaded ``file`` and
``sname`` fields; ``encode_options`` writes options so that every client can read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum

from castcore.errors import BadPacket

LONGEST_PIECE = 255
# RFC 1542 section 2.1: some relays drop a BOOTP message of less than 300 bytes; 236 are the header,
# 4 the magic cookie.
SMALLEST_FIELD = 300 - 240


class Option(IntEnum):
    """The option codes that Fleetcast reads or writes."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    BROADCAST_ADDRESS = 28
    VENDOR_SPECIFIC = 43
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_ID = 61
    TFTP_SERVER_NAME = 66
    BOOT_FILE = 67
    USER_CLASS = 77
    RELAY_INFORMATION = 82
    ARCHITECTURE = 93
    NETWORK_INTERFACE = 94
    MACHINE_ID = 97
    IPXE = 175
    END = 255


def pieces(field: bytes) -> Iterator[tuple[int, bytes]]:
    """Each (code, value) of one options field, in order, up to END or the field's end.

    A missing END is accepted: some firmware fills the field to its last byte. Raises BadPacket when
    an option reaches beyond the field.
    """
    at = 0
    while at < len(field) and field[at] != Option.END:
        code = field[at]
        if code == Option.PAD:
            at += 1
            continue
        if at + 1 >= len(field):
            raise BadPacket(f"DHCP option {code} has no length")
        length = field[at + 1]
        value = field[at + 2 : at + 2 + length]
        if len(value) < length:
            raise BadPacket(f"DHCP option {code} says {length} bytes, {len(value)} are left")
        yield code, value
        at += 2 + length


def parse_options(field: bytes, *, file: bytes = b"", sname: bytes = b"") -> dict[int, bytes]:
    """All options of a message: of ``field``, and of ``file`` and ``sname`` when option 52 says so.

    An option sent in several pieces is joined in the order of RFC 3396 section 5: options field,
    file, sname. Raises BadPacket.
    """
    found: dict[int, bytes] = {}
    _collect(found, field)
    overload = found.pop(Option.OVERLOAD, b"\0")
    if len(overload) != 1 or overload[0] > 3:
        raise BadPacket(f"DHCP option overload is {overload[:4].hex()}, not 1, 2 or 3")
    if overload[0] & 1:
        _collect(found, file)
    if overload[0] & 2:
        _collect(found, sname)
    found.pop(Option.OVERLOAD, None)
    return found


def encode_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """The options field for ``options`` in their order, with END, padded for old relays.

    A value of more than 255 bytes is split (RFC 3396).
    """
    out = bytearray()
    for code, value in options:
        for at in range(0, max(len(value), 1), LONGEST_PIECE):
            piece = value[at : at + LONGEST_PIECE]
            out += bytes((code, len(piece))) + piece
    out.append(Option.END)
    return bytes(out.ljust(SMALLEST_FIELD, b"\0"))


def _collect(found: dict[int, bytes], field: bytes) -> None:
    for code, value in pieces(field):
        found[code] = found.get(code, b"") + value

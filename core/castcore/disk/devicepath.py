"""Device paths: how UEFI firmware names a disk, a partition, a file, a network card. Pure.

UEFI Specification 2.10, section 10.3. Four kinds of node matter here (hard drive, file, PCI hop,
root bridge); all others keep their bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from castcore.errors import BadImage

# Type, subtype, length of the whole node with these four bytes.
_HEADER = struct.Struct("<BBH")
# Partition number, first sector, sectors, signature, format of the table, kind of signature (10.3.5.1).
_HARD_DRIVE = struct.Struct("<IQQ16sBB")
_HARDWARE, _ACPI, _MESSAGING, _MEDIA, _END = 0x01, 0x02, 0x03, 0x04, 0x7F
_PCI, _ACPI_DEVICE, _HARD_DRIVE_NODE, _FILE_PATH, _END_ENTIRE = 0x01, 0x01, 0x01, 0x04, 0xFF
# MAC address, IPv4, IPv6, URI (10.3.4.9 and on).
_NETWORK = frozenset({0x0B, 0x0C, 0x0D, 0x18})
# PNP0A03 and PNP0A08, PCI and PCI Express root bridges, as compressed EISA identifiers.
_ROOT_BRIDGES = frozenset({0x0A0341D0, 0x0A0841D0})
_MOST_BYTES = 0xFFFF  # EFI_LOAD_OPTION counts them with 16 bits


class Signature(IntEnum):
    """What a hard drive node names its disk by."""

    NONE = 0
    MBR = 1
    GPT = 2


@dataclass(frozen=True, slots=True)
class HardDrive:
    """A partition: its number in the table, ``start`` and ``length`` in sectors of the disk.

    ``mark`` is the partition's GUID (GPT), or the disk's signature as eight hex digits (MBR).
    """

    number: int
    start: int
    length: int
    kind: Signature
    mark: str


@dataclass(frozen=True, slots=True)
class FilePath:
    """A file of the partition before it, or a part of its path; separated by backslashes."""

    path: str


@dataclass(frozen=True, slots=True)
class PciHop:
    """From a bridge to a device behind it."""

    device: int
    function: int


@dataclass(frozen=True, slots=True)
class OtherNode:
    """Any other node: ``type`` and ``subtype`` of the specification, and what follows its header."""

    type: int
    subtype: int
    data: bytes

    @property
    def is_network(self) -> bool:
        """Whether the path leads over a network."""
        return self.type == _MESSAGING and self.subtype in _NETWORK

    @property
    def is_root_bridge(self) -> bool:
        """Whether PCI hops are counted from here."""
        if (self.type, self.subtype) != (_ACPI, _ACPI_DEVICE) or len(self.data) < 4:
            return False
        return int.from_bytes(self.data[:4], "little") in _ROOT_BRIDGES


Node = HardDrive | FilePath | PciHop | OtherNode
DevicePath = tuple[Node, ...]


def parse_device_path(data: bytes) -> DevicePath:
    """The nodes of the first path in ``data``, without its end. Raises BadImage when it is none."""
    return tuple(_nodes(data))


def encode_device_path(path: Sequence[Node]) -> bytes:
    """``path`` with its end node. Raises ValueError for a file path too long for a node."""
    return b"".join(_encoded(node) for node in path) + _HEADER.pack(_END, _END_ENTIRE, _HEADER.size)


def _nodes(data: bytes) -> Iterator[Node]:
    at = 0
    while at + _HEADER.size <= len(data):
        kind, subtype, length = _HEADER.unpack_from(data, at)
        if kind == _END:
            return
        if length < _HEADER.size or at + length > len(data):
            raise BadImage(f"device path: a node of {length} bytes at byte {at} of {len(data)}")
        yield _node(kind, subtype, data[at + _HEADER.size : at + length])
        at += length
    raise BadImage(f"device path: no end within {len(data)} bytes")


def _node(kind: int, subtype: int, body: bytes) -> Node:
    match kind, subtype:
        case (0x04, 0x01) if len(body) == _HARD_DRIVE.size:
            return _hard_drive(body)
        case (0x04, 0x04):
            text = body[: len(body) // 2 * 2].decode("utf-16-le", errors="replace")
            return FilePath(text.split("\0", 1)[0])
        case (0x01, 0x01) if len(body) == 2:
            return PciHop(device=body[1], function=body[0])
        case _:
            return OtherNode(kind, subtype, body)


def _hard_drive(body: bytes) -> Node:
    number, start, length, mark, _, kind = _HARD_DRIVE.unpack(body)
    match kind:
        case Signature.GPT:
            return HardDrive(number, start, length, Signature.GPT, str(UUID(bytes_le=mark)))
        case Signature.MBR:
            disk = f"{int.from_bytes(mark[:4], 'little'):08x}"
            return HardDrive(number, start, length, Signature.MBR, disk)
        case _:
            return OtherNode(_MEDIA, _HARD_DRIVE_NODE, body)


def _encoded(node: Node) -> bytes:
    match node:
        case HardDrive():
            kind, subtype, body = _MEDIA, _HARD_DRIVE_NODE, _hard_drive_body(node)
        case FilePath():
            kind, subtype, body = _MEDIA, _FILE_PATH, (node.path + "\0").encode("utf-16-le")
        case PciHop():
            kind, subtype, body = _HARDWARE, _PCI, bytes((node.function, node.device))
        case OtherNode():
            kind, subtype, body = node.type, node.subtype, node.data
    if _HEADER.size + len(body) > _MOST_BYTES:
        raise ValueError(f"device path: a node of {len(body)} bytes")
    return _HEADER.pack(kind, subtype, _HEADER.size + len(body)) + body


def _hard_drive_body(node: HardDrive) -> bytes:
    if node.kind is Signature.GPT:
        mark = UUID(node.mark).bytes_le
    else:
        mark = int(node.mark, 16).to_bytes(4, "little").ljust(16, b"\0")
    # The table's format (1 MBR, 2 GPT) and the kind of signature are the same number.
    return _HARD_DRIVE.pack(node.number, node.start, node.length, mark, node.kind, node.kind)

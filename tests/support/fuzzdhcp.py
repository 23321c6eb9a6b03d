"""Hostile DHCP and PXE packets: the golden captures, mutated field by field and byte by byte.

Three sources: packets of real firmware (`tests/golden/firmware`), what hypothesis draws for the property
tests, and plain noise. All by a seeded generator: a run can be repeated.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scapy.layers.inet import UDP
from scapy.utils import rdpcap

from tests.golden.bootdump import FOLDER

HEADER = 236
COOKIE = b"\x63\x82\x53\x63"
SERVER = bytes((192, 0, 2, 1))
PORTS = (67, 4011)
LARGEST = 1472
# Addresses for ciaddr, giaddr and options 50 and 54: none, ours, clients', a relay's, and nonsense.
ADDRESSES = (
    bytes(4),
    SERVER,
    bytes((192, 0, 2, 200)),
    bytes((192, 0, 2, 129)),
    bytes((198, 51, 100, 7)),
    bytes((127, 0, 0, 1)),
    bytes((224, 0, 0, 1)),
    b"\xff" * 4,
)
CODES = (0, 1, 3, 12, 43, 50, 51, 52, 53, 54, 55, 57, 60, 61, 66, 67, 77, 82, 93, 94, 97, 175, 255)
CLASSES = (
    b"PXEClient",
    b"PXEClient:Arch:00000:UNDI:002001",
    b"PXEClient:Arch:00007:UNDI:003016",
    b"PXEClient:Arch:99999",
    b"HTTPClient:Arch:00016:UNDI:003001",
    b"HTTPClient",
    b"MSFT 5.0",
    b"PXEClient\0",
)
INNER = (
    b"\x06\x01\x08\xff",
    b"\x47\x04\0\0\0\0\xff",
    b"\x47\x04\x80\0\0\0",
    b"\x47\xff\0",
    b"\x09\x80",
    b"\x13\x01\x01\x24\x01\x01",
)
ARCHITECTURES = (0, 6, 7, 9, 10, 11, 15, 16, 19, 255, 65535)


@dataclass
class Packet:
    """A request taken apart; mutations change it in place."""

    header: bytearray
    options: list[tuple[int, bytes]]
    tail: bytes = b"\xff"
    # Lengths that lie, by the option's place.
    lies: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> Packet:
        """The golden ``data`` taken apart."""
        options, at = [], HEADER + 4
        while at < len(data) and data[at] != 255:
            if data[at] == 0:
                at += 1
                continue
            options.append((data[at], data[at + 2 : at + 2 + data[at + 1]]))
            at += 2 + data[at + 1]
        return cls(bytearray(data[:HEADER]), options)

    def copy(self) -> Packet:
        """One of its own."""
        return Packet(bytearray(self.header), list(self.options), self.tail)

    def find(self, code: int) -> int | None:
        """Where option ``code`` stands."""
        return next((n for n, (c, _) in enumerate(self.options) if c == code), None)

    def put(self, code: int, value: bytes) -> None:
        """Replace option ``code`` or add it."""
        at = self.find(code)
        if at is None:
            self.options.append((code, value))
        else:
            self.options[at] = (code, value)

    def encode(self) -> bytes:
        """As a datagram."""
        parts = [bytes(self.header), COOKIE]
        for number, (code, value) in enumerate(self.options):
            pieces = [value[n : n + 255] for n in range(0, len(value), 255)] or [b""]
            parts += [bytes((code & 255, self.lies.get(number, len(p)))) + p for p in pieces]
        return b"".join(parts) + self.tail


def golden() -> list[bytes]:
    """The datagrams of every firmware captured."""
    captures = sorted(FOLDER.glob("*.pcap"))
    return [bytes(packet[UDP].payload) for path in captures for packet in rdpcap(str(path))]


class DhcpFuzz:
    """Makes packets without end; ``more`` are further whole datagrams to start from."""

    def __init__(self, seed: int, more: Sequence[bytes] = ()) -> None:
        self.random = random.Random(seed)
        self._raw = [*golden(), *more]
        self._seeds = [Packet.of(data) for data in golden()]
        self._structured: tuple[Callable[[Packet], None], ...] = (
            self._header_byte,
            self._header_address,
            self._hardware_address,
            self._message_type,
            self._message_type,
            self._vendor_class,
            self._architecture,
            self._server_id,
            self._inner,
            self._random_option,
            self._drop_option,
            self._double_option,
            self._split_option,
            self._lie,
            self._overload,
            self._no_end,
            self._machine_id,
        )

    def next(self) -> tuple[bytes, int]:
        """A packet and the port it is for."""
        pick = self.random
        kind, port = pick.random(), PORTS[pick.random() < 0.3]
        if kind < 0.03:
            data = pick.randbytes(pick.randrange(600))
        elif kind < 0.20:
            data = self._bytes_changed(pick.choice(self._raw))
        else:
            data = self._made(port)
            if kind > 0.97:
                data = self._bytes_changed(data)
        return data[:LARGEST], port

    def _made(self, port: int) -> bytes:
        packet = self.random.choice(self._seeds).copy()
        if port == 4011:
            packet.put(53, b"\3")
        for _ in range(self.random.randrange(5)):
            self.random.choice(self._structured)(packet)
        return packet.encode()

    def _bytes_changed(self, data: bytes) -> bytes:
        changed, pick = bytearray(data), self.random
        for _ in range(pick.randrange(1, 6)):
            if changed:
                changed[pick.randrange(len(changed))] = pick.randrange(256)
        if pick.random() < 0.2:
            del changed[pick.randrange(len(changed) + 1) :]
        elif pick.random() < 0.1:
            changed += pick.randbytes(pick.randrange(300))
        return bytes(changed)

    def _header_byte(self, packet: Packet) -> None:
        at = self.random.choice((0, 1, 2, 3, 8, 9, 10, 11, self.random.randrange(HEADER)))
        packet.header[at] = self.random.choice((0, 1, 2, 6, 16, 17, 128, 255))

    def _header_address(self, packet: Packet) -> None:
        at = self.random.choice((12, 16, 20, 24, 24))
        packet.header[at : at + 4] = self.random.choice(ADDRESSES)

    def _hardware_address(self, packet: Packet) -> None:
        # Few of them: a pool of addresses is finite, and a machine that sends a second packet is rarer.
        packet.header[28:34] = b"\x52\x54\0\0" + self.random.randrange(400).to_bytes(2, "big")

    def _message_type(self, packet: Packet) -> None:
        packet.put(
            53, self.random.choice((b"\1", b"\1", b"\3", b"\3", b"\4", b"\7", b"\x08", b"\2", b""))
        )

    def _vendor_class(self, packet: Packet) -> None:
        packet.put(60, self.random.choice(CLASSES))

    def _architecture(self, packet: Packet) -> None:
        packet.put(93, struct.pack("!H", self.random.choice(ARCHITECTURES)))

    def _server_id(self, packet: Packet) -> None:
        packet.put(self.random.choice((50, 54)), self.random.choice((*ADDRESSES, b"", b"\1\2\3")))

    def _inner(self, packet: Packet) -> None:
        packet.put(self.random.choice((43, 43, 82, 175)), self.random.choice(INNER))

    def _random_option(self, packet: Packet) -> None:
        length = self.random.choice((0, 1, 2, 4, 16, 17, 254, 255, 256, 600))
        code = self.random.choice(CODES) if self.random.random() < 0.8 else self.random.randrange(256)
        packet.put(code, self.random.randbytes(length))

    def _drop_option(self, packet: Packet) -> None:
        if packet.options:
            del packet.options[self.random.randrange(len(packet.options))]

    def _double_option(self, packet: Packet) -> None:
        if packet.options:
            again = self.random.choice(packet.options)
            packet.options.insert(self.random.randrange(len(packet.options) + 1), again)

    def _split_option(self, packet: Packet) -> None:
        """RFC 3396: one option in two pieces, not side by side."""
        if packet.options:
            at = self.random.randrange(len(packet.options))
            code, value = packet.options[at]
            cut = self.random.randrange(len(value) + 1)
            packet.options[at] = (code, value[:cut])
            packet.options.insert(
                self.random.randrange(at, len(packet.options)) + 1, (code, value[cut:])
            )

    def _lie(self, packet: Packet) -> None:
        if packet.options:
            packet.lies[self.random.randrange(len(packet.options))] = self.random.randrange(256)

    def _overload(self, packet: Packet) -> None:
        """RFC 2132 section 9.3: options in the file and sname fields, well-formed or not."""
        packet.put(52, self.random.choice((b"\1", b"\2", b"\3", b"\4", b"\1\1")))
        moved = b""
        while packet.options and self.random.random() < 0.5:
            code, value = packet.options.pop(self.random.randrange(len(packet.options)))
            moved += bytes((code & 255, min(len(value), 255))) + value[:255]
        moved += self.random.choice((b"\xff", b"", b"\x34\1\3", b"\x0c\xf0"))
        start, size = self.random.choice(((108, 128), (44, 64)))
        packet.header[start : start + size] = moved[:size].ljust(size, b"\0")

    def _no_end(self, packet: Packet) -> None:
        packet.tail = self.random.choice((b"", b"\0" * 9, b"\xff" + self.random.randbytes(20), b"\x35"))

    def _machine_id(self, packet: Packet) -> None:
        packet.put(
            97, self.random.choice((b"\0" + self.random.randbytes(16), b"\0" * 17, b"\1" * 17, b"\0"))
        )

"""A strict reader of DHCP answers that shares no code with Fleetcast: RFC 951, 2131, 2132, 3046, 3396,
4578, PXE 2.1.

It is told each request as it went out, sees each answer as it arrived, and names what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address

HEADER = 236
COOKIE = b"\x63\x82\x53\x63"
SMALLEST, SURE, LARGEST = 300, 548, 1472
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
ANY, BROADCAST = "0.0.0.0", "255.255.255.255"
PXE, HTTP = b"PXEClient", b"HTTPClient"
# What only a server that leases addresses may say.
LEASE_CODES = frozenset({1, 3, 28, 50, 51, 58, 59})
LENGTHS = {1: 4, 28: 4, 51: 4, 53: 1, 54: 4, 58: 4, 59: 4, 97: 17}
CODES = frozenset({43, 53, 54, 56, 60, 66, 67, 82, 97})


class Wrong(AssertionError):
    """An answer that the protocol does not allow."""


@dataclass(frozen=True)
class Sent:
    """A request as it went out: from where, and to which port of the server."""

    data: bytes
    source: tuple[str, int]
    port: int


@dataclass(frozen=True)
class Message:
    """A message taken apart; None stands for a request that nobody may answer."""

    op: int
    xid: int
    flags: int
    ciaddr: str
    yiaddr: str
    siaddr: str
    giaddr: str
    mac: bytes
    sname: bytes
    file: bytes
    options: dict[int, bytes]

    @property
    def kind(self) -> int:
        """Its DHCP message type, 0 without."""
        value = self.options.get(53, b"")
        return value[0] if len(value) == 1 else 0


def taken_apart(data: bytes) -> Message:
    """Raises Wrong for what is no DHCP message from or to an Ethernet machine."""
    _need(len(data) > HEADER + 4, f"{len(data)} bytes")
    _need(data[HEADER : HEADER + 4] == COOKIE, "no magic cookie")
    _need((data[1], data[2]) == (1, 6), f"htype {data[1]}, hlen {data[2]}")
    options = _options([data[HEADER + 4 :], data[108:HEADER], data[44:108]])
    return Message(
        op=data[0],
        xid=int.from_bytes(data[4:8], "big"),
        flags=int.from_bytes(data[10:12], "big"),
        ciaddr=_text(data[12:16]),
        yiaddr=_text(data[16:20]),
        siaddr=_text(data[20:24]),
        giaddr=_text(data[24:28]),
        mac=data[28:34],
        sname=data[44:108],
        file=data[108:HEADER],
        options=options,
    )


@dataclass(frozen=True)
class DhcpWitness:
    """``leases``: the addresses a DHCP server may give; empty for a proxy, which gives none.

    ``mask`` is that of their network, ``silent`` the machines (last byte of the MAC modulo 3) that the
    policy ignores.
    """

    server: str
    leases: Collection[IPv4Address] = ()
    mask: str = "255.255.255.0"
    silent: int = -1

    def judge(self, sent: Sent, data: bytes, to: tuple[str, int]) -> Message:
        """The answer ``data``, sent ``to``, when it is one that ``sent`` may get. Raises Wrong."""
        try:
            asked = taken_apart(sent.data)
        except Wrong as error:
            raise Wrong(f"an answer to what is no request: {error}") from None
        answer = taken_apart(data)
        self._header(asked, answer, data)
        self._kind(asked, answer, sent.port)
        self._identity(asked, answer)
        self._address(asked, answer)
        self._boot(asked, answer)
        self._way(sent, asked, answer, to)
        return answer

    def _header(self, asked: Message, answer: Message, data: bytes) -> None:
        _need(asked.op == 1, f"answered op {asked.op}")
        _need(answer.op == 2, f"op {answer.op}")
        # RFC 2131 section 2: what a client takes unless option 57 says more. A relay cuts off its own.
        told = asked.options.get(57, b"")
        most = max(SURE, int.from_bytes(told, "big") - 28 if len(told) == 2 else 0)
        most += 2 + len(answer.options.get(82, b""))
        _need(SMALLEST <= len(data) <= min(most, LARGEST), f"{len(data)} bytes, at most {most}")
        _need(b"\xff" in _read(data[HEADER + 4 :], {}), "options without an end")
        _need(answer.xid == asked.xid, "another xid")
        _need(answer.mac == asked.mac and data[34:44] == bytes(10), "another hardware address")
        _need(answer.giaddr == asked.giaddr, "another giaddr")
        _need(data[3] == 0 and data[8:10] == bytes(2), "hops or secs in an answer")
        # RFC 2131 table 3: a NAK through a relay is broadcast there; other answers may be.
        allowed = {asked.flags & 0x8000}
        if asked.giaddr != ANY:
            allowed = {0x8000} if answer.kind == NAK else allowed | {0x8000}
        _need(answer.flags in allowed, "other flags")
        _need(answer.ciaddr in (ANY, asked.ciaddr), "another ciaddr")
        _need(answer.ciaddr == ANY or answer.kind == ACK, "a ciaddr outside an ACK")
        _need(answer.siaddr in (ANY, self.server), f"siaddr {answer.siaddr}")
        _need(answer.sname == bytes(64), "something in sname")
        _need(answer.file[-1] == 0 and _printable(answer.file.rstrip(b"\0")), "a file name")

    def _kind(self, asked: Message, answer: Message, port: int) -> None:
        allowed: dict[tuple[int, int], set[int]] = {
            (67, DISCOVER): {OFFER},
            (4011, REQUEST): {ACK},
            (4011, INFORM): {ACK},
        }
        if self.leases:
            allowed[67, REQUEST] = {ACK, NAK}
            allowed[67, INFORM] = {ACK}
        _need(
            answer.kind in allowed.get((port, asked.kind), ()),
            f"type {answer.kind} for type {asked.kind} on port {port}",
        )

    def _identity(self, asked: Message, answer: Message) -> None:
        ours = bytes(map(int, self.server.split(".")))
        _need(answer.options.get(54) == ours, "the server id is not ours")
        # RFC 2131 table 5: a DISCOVER names no server; one that does anyway is still to all of them.
        for_all = bool(self.leases) and asked.kind == DISCOVER
        named = asked.options.get(54, ours)
        _need(for_all or named in (ours, bytes(4)), "answered for another server")
        _need(asked.mac[5] % 3 != self.silent or 60 not in answer.options, "answered whom it ignores")
        _need(answer.options.get(97, asked.options.get(97)) == asked.options.get(97), "another UUID")
        _need(answer.options.get(82, b"") == asked.options.get(82, b""), "option 82 is not echoed")
        _need(set(answer.options) <= CODES | LEASE_CODES, f"options {sorted(answer.options)}")
        for code, length in LENGTHS.items():
            value = answer.options.get(code)
            _need(value is None or len(value) == length, f"option {code} of {len(value or b'')} bytes")

    def _address(self, asked: Message, answer: Message) -> None:
        if answer.kind == NAK or not self.leases:
            _need(answer.yiaddr == ANY, f"an address ({answer.yiaddr})")
            _need(not LEASE_CODES & set(answer.options), "lease options without an address")
        elif answer.yiaddr != ANY:
            _need(IPv4Address(answer.yiaddr) in self.leases, f"{answer.yiaddr} is not in the pool")
            _need(LEASE_CODES - {3, 50} <= set(answer.options), "an address without its lease")
            _need(3 not in answer.options, "a gateway")
            _need(answer.options[1] == bytes(map(int, self.mask.split("."))), "a wrong mask")
            if asked.kind == REQUEST:
                wanted = asked.options.get(50, bytes(4))
                wanted = wanted if wanted != bytes(4) else bytes(map(int, asked.ciaddr.split(".")))
                _need(_text(wanted) == answer.yiaddr, "another address than asked for")

    def _boot(self, asked: Message, answer: Message) -> None:
        told = answer.options.get(60)
        if told is None:
            _need(bool(self.leases), "a proxy's answer to a machine that does not boot")
            _need(answer.siaddr == ANY and answer.file == bytes(128), "a boot file without a class")
            return
        _need(told in (PXE, HTTP), f"class {told!r}")
        _need(asked.options.get(60, b"").startswith(told), "another class than it asked with")
        _need(answer.siaddr == self.server, "boot information without siaddr")
        if 43 in answer.options:
            _inner(answer.options[43])
        if 67 in answer.options:
            _need(answer.options[67] == answer.file.rstrip(b"\0"), "file and option 67 differ")
        _need(answer.options.get(66, self.server.encode()) == self.server.encode(), "option 66")
        if told == HTTP:
            _need(67 in answer.options and answer.file.startswith(b"http://"), "no address to boot from")

    def _way(self, sent: Sent, asked: Message, answer: Message, to: tuple[str, int]) -> None:
        where, port = to
        if sent.port == 4011:
            _need(port == sent.source[1], f"sent to port {port}, asked from {sent.source[1]}")
            _need(where in (asked.ciaddr, sent.source[0], BROADCAST), f"sent to {where}")
        elif asked.giaddr != ANY:
            _need(to == (asked.giaddr, 67), f"sent to {to}, the relay is {asked.giaddr}")
        else:
            _need(port == 68, f"sent to port {port}")
            _need(where == BROADCAST or where == asked.ciaddr != ANY, f"sent to {where}")
            _need(where == BROADCAST or answer.kind != NAK, "a NAK that is not broadcast")


def _options(fields: list[bytes]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    _read(fields[0], found)
    overload = found.get(52, b"\0")
    _need(len(overload) == 1 and overload[0] < 4, "an odd overload")
    for bit, more in ((1, fields[1]), (2, fields[2])):
        if overload[0] & bit:
            _read(more, found)
    return found


def _read(field: bytes, found: dict[int, bytes]) -> bytes:
    """Add the options of a field to ``found``; what follows the last, with its END."""
    rest = field
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        _need(len(rest) >= 2 and len(rest) >= 2 + rest[1], f"option {rest[0]} is cut")
        found[rest[0]] = found.get(rest[0], b"") + rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return rest


def _inner(field: bytes) -> None:
    """Option 43 as PXE 2.1 wants it: its own options, the last one 255."""
    _need(field[-1:] == b"\xff", "option 43 has no end")
    found: dict[int, bytes] = {}
    _read(field, found)
    _need(set(found) <= {6, 8, 9, 10, 71}, f"option 43 holds {sorted(found)}")
    _need(len(found.get(6, b"\0")) == 1 and len(found.get(71, bytes(4))) <= 255, "option 43's lengths")


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def _text(address: bytes) -> str:
    return ".".join(map(str, address))


def _printable(text: bytes) -> bool:
    return all(32 < byte < 127 for byte in text)

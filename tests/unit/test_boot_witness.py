"""The readers that judge answers in the fuzz tests find what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from castcore.boot import PXE_PORT, BootDecision, BootPlace, MessageType, proxy_decide
from castcore.edge.net.dhcppacket import decode, encode

from tests.golden.bootdump import Always
from tests.support.dhcpwitness import DhcpWitness, Sent, Wrong
from tests.support.goodclient import ovmf
from tests.support.tftpwitness import TftpSession
from tests.support.tftpwitness import Wrong as WrongTftp

OURS = "192.0.2.1"
BROADCAST = ("255.255.255.255", 68)
PROXY = DhcpWitness(OURS)
CONTENT = bytes(range(256)) * 5


def answered(data: bytes, port: int = 67) -> bytes:
    place = BootPlace(IPv4Address(OURS), 8080)
    reply = proxy_decide(decode(data), port, place, Always(BootDecision.CLIENT)).reply
    assert reply is not None
    return encode(reply)


def changed(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + value + data[at + len(value) :]


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


def test_a_good_answer_passes() -> None:
    told = PROXY.judge(Sent(ovmf(), ("0.0.0.0", 68), 67), answered(ovmf()), BROADCAST)
    assert told.kind == MessageType.OFFER


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (changed(0, b"\1"), "op"),
        (changed(3, b"\1"), "hops"),
        (changed(4, b"\0\0\0\0"), "xid"),
        (changed(10, b"\0\1"), "flags"),
        (changed(10, b"\0\0"), "flags"),
        (changed(12, b"\x0a\0\0\1"), "ciaddr"),
        (changed(16, b"\xc0\0\2\x80"), "an address"),
        (changed(20, b"\xc0\0\2\2"), "siaddr"),
        (changed(24, b"\xc0\0\2\2"), "giaddr"),
        (changed(28, b"\2"), "hardware address"),
        (changed(44, b"x"), "sname"),
        (changed(108, b"\x01"), "file name"),
        (changed(236, b"\0"), "cookie"),
        (replaced(b"\x35\x01\x02", b"\x35\x01\x05"), "type 5"),
        (replaced(b"\x36\x04\xc0\0\2\1", b"\x36\x04\xc0\0\2\2"), "server id"),
        (replaced(b"\x36\x04\xc0\0\2\1", b"\x33\x04\xc0\0\2\1"), "server id"),
        (replaced(b"PXEClient", b"PXEClienT"), "class"),
        (replaced(b"\x06\x01\x08\xff", b"\x06\x01\x08\x00"), "no end"),
        (replaced(b"\x61\x11\0", b"\x61\x11\1"), "UUID"),
        (lambda data: data[:240] + b"\x35\x01\x02\xff", "244 bytes"),
        (lambda data: data + bytes(1200), "bytes"),
        (lambda data: data.rstrip(b"\0")[:-1], "without an end"),
        (lambda data: data.rstrip(b"\0")[:-4], "cut"),
    ],
)
def test_a_wrong_answer_does_not(damage: Callable[[bytes], bytes], why: str) -> None:
    data = damage(answered(ovmf()))
    assert data != answered(ovmf())
    with pytest.raises(Wrong, match=why):
        PROXY.judge(Sent(ovmf(), ("0.0.0.0", 68), 67), data, BROADCAST)


@pytest.mark.parametrize("to", [("255.255.255.255", 67), ("192.0.2.7", 68), ("192.0.2.7", 2070)])
def test_an_answer_to_somebody_else_does_not(to: tuple[str, int]) -> None:
    with pytest.raises(Wrong, match="sent to"):
        PROXY.judge(Sent(ovmf(), ("0.0.0.0", 68), 67), answered(ovmf()), to)


def test_an_answer_where_none_may_be_does_not() -> None:
    request = ovmf().replace(b"\x35\x01\x01", b"\x35\x01\x03", 1)
    good = answered(request, PXE_PORT)
    PROXY.judge(Sent(request, ("192.0.2.7", 2070), PXE_PORT), good, ("192.0.2.7", 2070))
    with pytest.raises(Wrong, match="type 5 for type 3"):
        PROXY.judge(Sent(request, ("0.0.0.0", 68), 67), good, BROADCAST)
    with pytest.raises(Wrong, match="no request"):
        PROXY.judge(Sent(request[:200], ("0.0.0.0", 68), 67), good, BROADCAST)


def session(*words: bytes) -> TftpSession:
    return TftpSession(b"\0\1" + b"\0".join(words) + b"\0", {b"x": CONTENT})


def test_a_good_transfer_passes() -> None:
    good = session(b"/x", b"octet", b"blksize", b"1000", b"tsize", b"0")
    assert good.judge(b"\0\6blksize\x001000\0tsize\x001280\0", 4000) == 0
    good.acknowledged(b"\0\4\0\0")
    assert good.judge(b"\0\3\0\1" + CONTENT[:1000], 4000) == 1
    good.acknowledged(b"\0\4\0\1")
    assert good.judge(b"\0\3\0\2" + CONTENT[1000:], 4000) == 2


@pytest.mark.parametrize(
    ("words", "answer", "port", "why"),
    [
        ((b"x", b"octet"), b"\0\3\0\1" + CONTENT[:512], 69, "port 69"),
        ((b"x", b"octet"), b"\0\3\0\1" + CONTENT[1:513], 4000, "other bytes"),
        ((b"x", b"octet"), b"\0\3\0\2" + CONTENT[512:1024], 4000, "block 2"),
        ((b"y", b"octet"), b"\0\3\0\1" + CONTENT[:512], 4000, "the name"),
        ((b"x", b"netascii"), b"\0\3\0\1" + CONTENT[:512], 4000, "another mode"),
        ((b"x", b"octet"), b"\0\4\0\1", 4000, "opcode 4"),
        ((b"x", b"octet"), b"\0\5\0\x09no\0", 4000, "error code"),
        ((b"x", b"octet"), b"\0\5\0\1no", 4000, "error text"),
        ((b"x", b"octet", b"tsize", b"0"), b"\0\6tsize\x001\0", 4000, "another size"),
        ((b"x", b"octet", b"tsize", b"0"), b"\0\6blksize\x00512\0", 4000, "granted"),
        ((b"x", b"octet", b"timeout", b"1"), b"\0\6timeout\x001\0", 4000, "granted"),
        ((b"x", b"octet", b"blksize", b"512"), b"\0\6blksize\x00513\0", 4000, "larger block"),
    ],
)
def test_a_wrong_transfer_does_not(words: tuple[bytes, ...], answer: bytes, port: int, why: str) -> None:
    with pytest.raises(WrongTftp, match=why):
        session(*words).judge(answer, port)


def test_a_block_ahead_of_its_acknowledgement_does_not() -> None:
    early = session(b"x", b"octet")
    early.judge(b"\0\3\0\1" + CONTENT[:512], 4000)
    with pytest.raises(WrongTftp, match="1 is the next"):
        early.judge(b"\0\3\0\2" + CONTENT[512:1024], 4000)

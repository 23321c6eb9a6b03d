"""The NBD session: what a server answers, byte by byte, whatever way the bytes arrive."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from castcore.nbd.session import MOST_LENGTH, Hangup, ReadRequest, Session

GREETING = bytes.fromhex("4e42444d41474943 49484156454f5054 0003")
HAVE_OPTION = bytes.fromhex("49484156454f5054")
ACK, UNSUPPORTED, INVALID, UNKNOWN = 1, 0x80000001, 0x80000003, 0x80000006
FLAGS = 0x0107  # has flags, read-only, flush, several connections
SIZE = 10_000


class Disk:
    """10000 bytes of which 4096 from byte 2048 on may hold data."""

    size = SIZE

    def runs(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        at = offset
        for end, is_data in ((2048, False), (6144, True), (SIZE, False)):
            upto = min(end, offset + length)
            if at < upto and len(found) < most:
                found.append((upto - at, is_data))
                at = upto
        return found

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError(f"the session itself reads nothing, but {length} bytes at {offset}")


DISK = Disk()


def client(*, flags: int = 3) -> Session:
    session = Session({"": DISK, "0": DISK})
    assert session.greeting() == GREETING
    assert list(session.feed(struct.pack(">I", flags))) == []
    return session


def option(number: int, data: bytes = b"") -> bytes:
    return HAVE_OPTION + struct.pack(">II", number, len(data)) + data


def named(name: bytes, *wanted: int) -> bytes:
    head = len(name).to_bytes(4, "big") + name + len(wanted).to_bytes(2, "big")
    return head + b"".join(w.to_bytes(2, "big") for w in wanted)


def queries(name: bytes, *texts: bytes) -> bytes:
    out = len(name).to_bytes(4, "big") + name + len(texts).to_bytes(4, "big")
    return out + b"".join(len(t).to_bytes(4, "big") + t for t in texts)


def answers(replies: Iterable[bytes | ReadRequest]) -> list[tuple[int, int, bytes]]:
    """The option replies as (option, type, data)."""
    data = b"".join(r for r in replies if isinstance(r, bytes))
    found = []
    while data:
        magic, number, kind, length = struct.unpack_from(">QIII", data)
        assert magic == 0x0003E889045565A9
        found.append((number, kind, data[20 : 20 + length]))
        data = data[20 + length :]
    return found


def command(kind: int, offset: int = 0, length: int = 0, *, flags: int = 0, cookie: int = 77) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, kind, cookie, offset, length)


def transmitting(*, structured: bool = False, allocation: bool = False) -> Session:
    session = client()
    if structured:
        assert answers(session.feed(option(8))) == [(8, ACK, b"")]
    if allocation:
        told = answers(session.feed(option(10, queries(b"", b"base:allocation", b"qemu:dirty"))))
        assert told == [(10, 4, b"\0\0\0\1base:allocation"), (10, ACK, b"")]
    assert answers(session.feed(option(7, named(b""))))[-1] == (7, ACK, b"")
    assert session.transmitting
    return session


def sent(session: Session, data: bytes) -> bytes:
    return b"".join(x for x in session.feed(data) if isinstance(x, bytes))


def simple(error: int, cookie: int = 77) -> bytes:
    return struct.pack(">IIQ", 0x67446698, error, cookie)


def test_the_old_way_in_with_and_without_padding() -> None:
    export = struct.pack(">QH", SIZE, FLAGS)
    assert sent(client(flags=3), option(1, b"0")) == export
    assert sent(client(flags=1), option(1)) == export + bytes(124)
    with pytest.raises(Hangup):
        sent(client(), option(1, b"nosuch"))


def test_listing_and_information() -> None:
    session = client()
    listed = answers(session.feed(option(3)))
    assert listed == [(3, 2, b"\0\0\0\0"), (3, 2, b"\0\0\0\x010"), (3, ACK, b"")]
    assert answers(session.feed(option(3, b"x"))) == [(3, INVALID, b"")]
    told = answers(session.feed(option(6, named(b"0", 3, 9))))
    assert told == [
        (6, 3, struct.pack(">HQH", 0, SIZE, FLAGS)),
        (6, 3, struct.pack(">HIII", 3, 1, 4096, MOST_LENGTH)),
        (6, ACK, b""),
    ]
    assert not session.transmitting
    assert answers(session.feed(option(6, named(b"9")))) == [(6, UNKNOWN, b"")]
    assert answers(session.feed(option(6, b"\xff\xff\xff\xff"))) == [(6, INVALID, b"")]
    assert answers(session.feed(option(6, named(b"0")[:-1]))) == [(6, INVALID, b"")]


def test_what_is_not_offered_is_said_to_be_unsupported() -> None:
    session = client()
    for number in (0, 4, 5, 11, 99):
        assert answers(session.feed(option(number, b"data"))) == [(number, UNSUPPORTED, b"")]
    # No contexts without structured replies.
    assert answers(session.feed(option(10, queries(b"", b"base:allocation")))) == [(10, INVALID, b"")]


def test_goodbye_is_answered() -> None:
    session = client()
    replies = session.feed(option(2))
    assert answers([next(replies)]) == [(2, ACK, b"")]
    with pytest.raises(Hangup):
        next(replies)
    with pytest.raises(Hangup):
        sent(transmitting(), command(2))


def test_contexts_are_listed_and_set() -> None:
    session = client()
    list(session.feed(option(8)))
    for asked in (queries(b""), queries(b"", b"base:")):
        assert answers(session.feed(option(9, asked)))[0] == (9, 4, b"\0\0\0\0base:allocation")
    assert answers(session.feed(option(9, queries(b"", b"qemu:")))) == [(9, ACK, b"")]
    assert answers(session.feed(option(10, queries(b"", b"base:")))) == [(10, ACK, b"")]
    assert answers(session.feed(option(10, queries(b"9", b"base:")))) == [(10, UNKNOWN, b"")]
    for broken in (b"", b"\0\0\0\0\0\0\0\x02", queries(b"", b"x") + b"!", b"\0\0\0\x09"):
        assert answers(session.feed(option(10, broken))) == [(10, INVALID, b"")]


@pytest.mark.parametrize("structured", [False, True])
def test_a_read_is_handed_out_and_its_answer_framed(structured: bool) -> None:
    session = transmitting(structured=structured)
    (request,) = session.feed(command(0, 4096, 3))
    assert isinstance(request, ReadRequest)
    assert (request.export, request.offset, request.length) == (DISK, 4096, 3)
    said = session.read_start(request) + session.read_data(request, 4096, b"abc")
    said += session.read_end(request)
    if not structured:
        assert said == simple(0) + b"abc"
        return
    data = struct.pack(">IHHQI", 0x668E33EF, 0, 1, 77, 11) + (4096).to_bytes(8, "big") + b"abc"
    assert said == data + struct.pack(">IHHQI", 0x668E33EF, 1, 0, 77, 0)


def test_a_read_that_fails() -> None:
    session = transmitting()
    (request,) = session.feed(command(0, 0, 10))
    assert isinstance(request, ReadRequest)
    assert session.read_failed(request, "why", started=False) == simple(5)
    with pytest.raises(Hangup):
        session.read_failed(request, "why", started=True)
    session = transmitting(structured=True)
    failed = struct.pack(">IHHQI", 0x668E33EF, 1, 0x8001, 77, 9) + struct.pack(">IH", 5, 3) + b"why"
    assert session.read_failed(request, "why", started=True) == failed


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (command(0, SIZE - 1, 2), 22),
        (command(0, 1 << 63, 1), 22),
        (command(0, 0, 0), 22),
        (command(0, 0, 1, flags=1), 22),
        (command(99), 22),
        (command(7, 0, 10), 22),  # no context was chosen
        (command(1, 0, 4) + b"data", 1),
        (command(4, 0, 10), 1),
        (command(6, 0, 10), 1),
        (command(3), 0),
    ],
)
def test_every_other_request_gets_one_answer(request_: bytes, error: int) -> None:
    session = transmitting()
    assert sent(session, request_ + command(3, cookie=5)) == simple(error) + simple(0, 5)


def test_a_write_longer_than_any_ends_the_connection() -> None:
    with pytest.raises(Hangup):
        sent(transmitting(), command(1, 0, MOST_LENGTH + 1))


def test_block_status() -> None:
    session = transmitting(structured=True, allocation=True)
    head = struct.pack(">IHHQI", 0x668E33EF, 1, 5, 77, 4 + 24) + b"\0\0\0\1"
    runs = struct.pack(">IIIIII", 2048, 3, 4096, 0, 1856, 3)
    assert sent(session, command(7, 0, 8000)) == head + runs
    one = struct.pack(">IHHQI", 0x668E33EF, 1, 5, 77, 12) + b"\0\0\0\1" + struct.pack(">II", 100, 0)
    assert sent(session, command(7, 3000, 100, flags=8)) == one


def test_bytes_may_arrive_one_by_one() -> None:
    spoken = struct.pack(">I", 3) + option(8) + option(7, named(b"0", 0, 3)) + command(3) + command(2)
    whole, single = Session({"0": DISK}), Session({"0": DISK})
    assert until_the_end(whole, spoken, len(spoken)) == until_the_end(single, spoken, 1) != b""


def until_the_end(session: Session, spoken: bytes, step: int) -> bytes:
    """What ``session`` says to ``spoken``, given ``step`` bytes at a time, until it hangs up."""
    said = b""
    try:
        for at in range(0, len(spoken), step):
            for answer in session.feed(spoken[at : at + step]):
                assert isinstance(answer, bytes)
                said += answer
    except Hangup:
        return said
    raise AssertionError("it did not hang up")

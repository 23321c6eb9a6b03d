"""What is borrowed and what is stored: the decision, the packs made of loans, and their spelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from castcore import canonical
from castcore.disk import DiskLayout, Extent, TableType
from castcore.errors import BadImage
from castcore.image import (
    CHUNK_SIZE,
    BorrowedPack,
    Borrowing,
    ChunkKind,
    ChunkRecord,
    Codec,
    ImageDisk,
    Lender,
    Lending,
    Loan,
    LoanBook,
    Manifest,
    Piece,
    borrowings,
    encode_index,
    encode_manifest,
    encode_record,
    parse_index,
    parse_manifest,
)
from castcore.image import lending as lending_module
from castcore.trust import digest

NAMES = [digest(bytes([n])) for n in range(4)]
RECORDS = (
    ChunkRecord(0, 0, CHUNK_SIZE, ChunkKind.DATA, NAMES[0], 700, Codec.ZSTD, 0, 0),
    ChunkRecord(0, CHUNK_SIZE, CHUNK_SIZE, ChunkKind.ZERO, NAMES[1]),
    ChunkRecord(0, 2 * CHUNK_SIZE, CHUNK_SIZE, ChunkKind.DATA, NAMES[2], 300, Codec.ZSTD, 1, 0),
    ChunkRecord(0, 3 * CHUNK_SIZE, 4096, ChunkKind.DATA, NAMES[3], 4096, Codec.RAW, 1, 300),
)
INDEX = encode_index(map(encode_record, RECORDS))
SIZE = 3 * CHUNK_SIZE + 4096
OTHER = Lender("other", b"\x11" * 32, 9)
THIRD = Lender("third", b"\x22" * 32, 7)


def manifest(**changes: Any) -> Manifest:
    """Four chunks; the last two lie in pack 1, borrowed from two images."""
    disk = ImageDisk(DiskLayout(SIZE, 512, TableType.NONE), (Extent(0, SIZE),))
    whole = Manifest("small", 1, (disk,), digest(INDEX), 4, (700, 4396))
    borrowed = (BorrowedPack(1, (Piece(0, 5, 1000, 300), Piece(1, 0, 20, 4096))),)
    return replace(whole, **({"lenders": (OTHER, THIRD), "borrowed": borrowed} | changes))


def plain() -> Manifest:
    return manifest(lenders=(), borrowed=())


def test_a_content_is_found_by_its_digest_and_lent_from_where_it_is() -> None:
    lending = Lending("base", plain(), parse_index(INDEX, plain()))
    me = Lender("base", digest(INDEX), 4)
    assert [lending.find(NAMES[n]) for n in (0, 2, 3)] == [0, 2, 3]
    assert lending.loan(0) == Loan(me, 0, 0, 700, Codec.ZSTD)
    assert lending.loan(3) == Loan(me, 1, 300, 4096, Codec.RAW)


def test_what_is_not_there_or_zeros_is_not_lent() -> None:
    lending = Lending("base", plain(), parse_index(INDEX, plain()))
    assert lending.find(NAMES[1]) is None
    assert lending.find(digest(b"new")) is None
    assert lending.find(b"\xff" * 32) is None
    assert lending.find(NAMES[0][:8] + bytes(24)) is None


def test_what_an_image_borrows_itself_is_lent_by_its_owner() -> None:
    small = manifest()
    lending = Lending("base", small, parse_index(INDEX, small), small.borrowed)
    assert lending.loan(0).lender.name == "base"
    assert lending.loan(2) == Loan(OTHER, 5, 1000, 300, Codec.ZSTD)
    assert lending.loan(3) == Loan(THIRD, 0, 20, 4096, Codec.RAW)
    # A copy has the bytes of its own.
    whole = Lending("base", small, parse_index(INDEX, small))
    assert whole.loan(3) == Loan(Lender("base", digest(INDEX), 4), 1, 300, 4096, Codec.RAW)


def test_loans_that_lie_behind_each_other_are_one_piece() -> None:
    book = LoanBook()
    assert not book.fits(Loan(OTHER, 0, 0, 10, Codec.ZSTD))
    book.open(3)
    places = [(0, 10), (10, 5), (20, 5), (15, 5), (20, 1)]
    entered = [book.enter(Loan(OTHER, 0, at, size, Codec.ZSTD)) for at, size in places]
    entered.append(book.enter(Loan(OTHER, 1, 21, 4, Codec.ZSTD)))
    entered.append(book.enter(Loan(THIRD, 1, 25, 4, Codec.ZSTD)))
    assert entered == [(3, 0), (3, 10), (3, 15), (3, 20), (3, 25), (3, 26), (3, 30)]
    pieces = [(0, 0, 0, 15), (0, 0, 20, 5), (0, 0, 15, 6), (0, 1, 21, 4), (1, 1, 25, 4)]
    assert book.borrowed == (BorrowedPack(3, tuple(Piece(*p) for p in pieces)),)
    assert book.lenders == (OTHER, THIRD)
    (pack,) = book.borrowed
    assert [pack.place(n)[1] for n in (0, 14, 15, 20, 26, 33)] == [0, 14, 20, 15, 21, 28]


def test_a_borrowed_pack_ends_at_its_limit() -> None:
    book, sizes = LoanBook(limit=100), (60, 40, 1)
    for number, size in enumerate(sizes):
        loan = Loan(OTHER, 0, 0, size, Codec.RAW)
        if not book.fits(loan):
            book.open(number)
        book.enter(loan)
    assert [(p.number, p.size) for p in book.borrowed] == [(0, 100), (2, 1)]


def test_a_book_with_too_many_pieces_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending_module, "MOST_PIECES", 4096 + 2)
    book = LoanBook()
    book.open(0)
    for at in (0, 100):
        assert not book.full
        book.enter(Loan(OTHER, 0, at, 1, Codec.RAW))
    assert book.full


def test_what_is_borrowed_is_counted_for_each_lender() -> None:
    small = manifest()
    index = parse_index(INDEX, small)
    assert borrowings(small, index, small.borrowed) == (
        Borrowing("other", 1, 300),
        Borrowing("third", 1, 4096),
    )
    assert borrowings(small, index, ()) == ()
    assert (small.stored, plain().stored) == (700, 5096)


def test_the_manifest_gives_lenders_and_pieces_back() -> None:
    spelled = encode_manifest(manifest())
    assert parse_manifest(spelled) == manifest()
    assert canonical.decode(spelled, limit=1 << 20)["version"] == 2
    assert b"lenders" not in encode_manifest(plain())
    assert canonical.decode(encode_manifest(plain()), limit=1 << 20)["version"] == 1


def test_version_1_ignores_what_it_does_not_know() -> None:
    value = canonical.decode(encode_manifest(manifest()), limit=1 << 20)
    value["version"] = 1
    assert parse_manifest(canonical.encode(value)) == plain()


def pieces(*spelled: Any) -> Callable[[dict[str, Any]], None]:
    return lambda v: v["packs"][1].update(pieces=list(spelled))


def lender(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda v: v["lenders"][1].update(changes)


GOOD = ([0, 5, 1000, 300], [1, 0, 20, 4096])


@pytest.mark.parametrize(
    "change",
    [
        *(lender(name=name) for name in ("../other", "a/b", "..", ".", "", "/etc", ".x", "x\n", 7)),
        lender(name="other"),
        lender(index={"digest": "00", "records": 1}),
        lender(index={"digest": "11" * 32, "records": -1}),
        lender(index={}),
        lambda v: v.update(lenders=[]),
        lambda v: v.update(lenders={}),
        lambda v: v.pop("lenders"),
        lambda v: v["lenders"].append({"name": "idle", "index": {"digest": "33" * 32, "records": 1}}),
        lambda v: v["packs"][1].pop("pieces"),
        pieces(),
        pieces([0, 5, 1000, 4396]),
        pieces(GOOD[0], [2, 0, 20, 4096]),
        pieces(GOOD[0], [-1, 0, 20, 4096]),
        pieces(GOOD[0], [1, 0, -20, 4096]),
        pieces(GOOD[0], [1, 0, 20, 4095]),
        pieces(GOOD[0], [1, 0, 20, 4096, 0]),
        pieces(GOOD[0], [1, 0, 20]),
        pieces(GOOD[0], [1, 0, 20, True]),
        pieces(GOOD[0], GOOD[1], [1, 0, 20, 0]),
        pieces(GOOD[0], [1, 0, (2 << 30) - 4095, 4096]),
        pieces(GOOD[0], 4096),
        pieces([0, 5, 1000, 4396 << 40], [1, 0, 0, 4396 - (4396 << 40)]),
    ],
)
def test_a_manifest_that_borrows_nonsense_is_refused(change: Callable[[Any], None]) -> None:
    value = canonical.decode(encode_manifest(manifest()), limit=1 << 20)
    change(value)
    with pytest.raises(BadImage, match="manifest is damaged"):
        parse_manifest(canonical.encode(value))


def test_more_pieces_than_an_image_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castcore.image.borrowing.MOST_PIECES", 1)
    with pytest.raises(BadImage, match="more than 1 pieces"):
        parse_manifest(encode_manifest(manifest()))


def test_a_chunk_lies_in_one_piece() -> None:
    crossing = (BorrowedPack(1, (Piece(0, 5, 1000, 299), Piece(1, 0, 20, 4097))),)
    with pytest.raises(BadImage, match="two pieces"):
        parse_index(INDEX, manifest(borrowed=crossing))
    parse_index(INDEX, manifest())

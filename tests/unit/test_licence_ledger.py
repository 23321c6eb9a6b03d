from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore.edge.licence.blocks import DirectBlocks
from castcore.edge.licence.ledgerfile import LedgerFile, format_ledger
from castcore.errors import DiskFailed, InUse, NotFound, Refused, Untrusted
from castcore.licence import (
    MOST_RECENT,
    MOST_RESERVATIONS,
    SIZE,
    Ledger,
    NoLicence,
    Standing,
    Use,
)
from castcore.licence.layout import COPIES, LICENCE_SLOTS, RECORD_SIZE, RECORD_SLOTS, record_at
from castcore.trust import SigningKey

from tests.support.faultyledger import (
    ISSUER,
    SERIAL,
    FaultyBlocks,
    apply,
    ledger_on,
    licence,
    new_medium,
    opened,
    state,
)

ONE, TWO = Use("c1", "m1"), Use("c1", "m2")


def with_licences(*files: bytes) -> FaultyBlocks:
    blocks = new_medium()
    with ledger_on(blocks) as file:
        for data in files:
            file.import_licence(data)
    return blocks


def balances(file: LedgerFile) -> list[tuple[int, int, int]]:
    return [(b.left, b.reserved, b.consumed) for b in file.ledger.balances()]


def test_a_licence_goes_from_reserved_to_consumed_or_back() -> None:
    file = ledger_on(with_licences(licence(1, 2)))
    file.reserve(ONE, "any")
    file.reserve(TWO, "any")
    assert balances(file) == [(0, 2, 0)]
    assert file.ledger.standing(ONE) is Standing.RESERVED
    file.consume(ONE)
    file.release(TWO)
    assert balances(file) == [(1, 0, 1)]
    assert (file.ledger.standing(ONE), file.ledger.standing(TWO)) == (
        Standing.CONSUMED,
        Standing.UNKNOWN,
    )


def test_what_was_done_is_not_done_again() -> None:
    blocks = with_licences(licence(1, 5))
    file = ledger_on(blocks)
    changes: list[Callable[[], Ledger]] = [
        lambda: file.reserve(ONE, "any"),
        lambda: file.consume(ONE),
        lambda: file.release(ONE, TWO),
        lambda: file.import_licence(licence(1, 5)),
    ]
    for change in changes:
        change()
        before, writes = file.ledger, blocks.writes
        change()
        assert (file.ledger, blocks.writes) == (before, writes)
    assert balances(file) == [(4, 0, 1)]


def test_the_same_machine_in_the_same_cast_can_pay_a_second_time() -> None:
    file = ledger_on(with_licences(licence(1, 5)))
    for _ in range(2):
        file.reserve(ONE, "any")
        file.consume(ONE)
    assert balances(file) == [(3, 0, 2)]


def test_nobody_consumes_what_is_not_reserved() -> None:
    file = ledger_on(with_licences(licence(1, 5)))
    file.reserve(ONE, "any")
    before = file.ledger
    with pytest.raises(NotFound, match="m2 in cast c1"):
        file.consume(ONE, TWO)
    assert file.ledger == before


@pytest.mark.parametrize(
    ("files", "image", "says"),
    [
        ((), "any", "for image any, they are for nothing"),
        (("lab", 5, 0), "office", "no licence of the medium is for image office, they are for lab"),
        (("*", 5, 50), "any", "every licence for image any has expired"),
        (("*", 1, 0), "any", "no licence for image any is left: 0 consumed, 1 reserved"),
    ],
)
def test_why_there_is_none(files: tuple[str, int, int], image: str, says: str) -> None:
    ledger = opened(new_medium().data)
    if files:
        product, count, expires = files
        data = licence(1, count, product=product, expires=expires)
        ledger = ledger.import_licence(data, 1).ledger
        if count == 1:
            ledger = ledger.reserve(TWO, image, 1).ledger
    with pytest.raises(NoLicence, match=says):
        ledger.reserve(ONE, image, 100)


def test_the_one_that_ends_first_goes_first() -> None:
    files = [
        licence(1, 9),
        licence(2, 9, expires=1 << 36),
        licence(3, 2, expires=1 << 36),
        licence(4, 9, product="other"),
        licence(5, 1, expires=1 << 35),
    ]
    file = ledger_on(with_licences(*files))
    taken = []
    for number in range(5):
        before = [left for left, _, _ in balances(file)]
        file.reserve(Use("c1", f"m{number}"), "any")
        taken += [n + 1 for n, (left, _, _) in enumerate(balances(file)) if left != before[n]]
    assert taken == [5, 3, 3, 2, 2]


def test_only_licences_of_trusted_issuers_are_taken() -> None:
    other = SigningKey(bytes(31) + b"\x03")
    file = ledger_on(with_licences(licence(1, 5, key=other), licence(2, 5)))
    file.reserve(ONE, "any", frozenset({ISSUER.public.hex()}))
    assert balances(file) == [(5, 0, 0), (4, 1, 0)]
    with pytest.raises(NoLicence, match="issuer that is trusted"):
        file.reserve(TWO, "any", frozenset({"00" * 32}))


def test_a_reservation_outlives_the_licences_day() -> None:
    ledger = opened(new_medium().data).import_licence(licence(1, 5, expires=50), 1).ledger
    ledger = ledger.reserve(ONE, "any", 49).ledger
    assert ledger.consume(ONE, now=60).ledger.balances()[0].consumed == 1


def test_as_many_reservations_as_there_is_room_for() -> None:
    blocks = with_licences(licence(1, 10_000))
    file = ledger_on(blocks)
    uses = [Use("c-" + "x" * 30, f"m{n}") for n in range(MOST_RESERVATIONS + 1)]
    for use in uses[:-1]:
        file.reserve(use, "any")
    with pytest.raises(NoLicence, match=f"{MOST_RESERVATIONS} licences are reserved"):
        file.reserve(uses[-1], "any")
    file.consume(*uses[:MOST_RECENT])
    file.reserve(uses[-1], "any")
    again = ledger_on(blocks)
    assert balances(again) == [(10_000 - 513, 385, 128)]
    with pytest.raises(ValueError, match="more than are remembered"):
        again.consume(*uses[: MOST_RECENT + 1])


def test_many_thousands_of_changes_in_the_same_place() -> None:
    blocks = with_licences(licence(1, 1_000_000))
    file = ledger_on(blocks)
    for number in range(4000):
        use = Use("c1", str(number))
        file.reserve(use, "any")
        file.consume(use)
    assert len(blocks.data) == SIZE
    again = ledger_on(blocks).ledger
    assert (again.sequence, again.balances()[0].consumed) == (8001, 4000)
    assert [number for number, _ in again.history] == list(range(8001 - RECORD_SLOTS + 1, 8002))


def test_a_medium_holds_so_many_licences_and_no_more() -> None:
    file = ledger_on(with_licences(*(licence(n) for n in range(LICENCE_SLOTS))))
    with pytest.raises(Refused, match="at most 63"):
        file.import_licence(licence(99))
    assert len(file.ledger.licences) == LICENCE_SLOTS


def test_licences_that_are_not_taken() -> None:
    file = ledger_on(with_licences(licence(1, 5)))
    with pytest.raises(Untrusted, match="other terms"):
        file.import_licence(licence(1, 6))
    with pytest.raises(Untrusted, match="is for the USB disk with serial number ELSE"):
        file.import_licence(licence(2, 5, medium="ELSE"))
    with pytest.raises(Refused, match="expired"):
        file.import_licence(licence(3, 5, expires=5))
    file.import_licence(licence(4, 5, medium=SERIAL))
    assert len(file.ledger.licences) == 2


def test_a_ledger_is_bound_to_its_disk_with_its_first_licence() -> None:
    blocks = new_medium()
    for serial in ("A", "B", ""):
        assert opened(blocks.data, serial).sequence == 0
    ledger_on(blocks, "B").import_licence(licence(1))
    assert opened(blocks.data, "B").sequence == 1
    for serial in ("A", ""):
        with pytest.raises(Untrusted, match="serial number B"):
            opened(blocks.data, serial)


def test_a_copy_that_cannot_be_read_is_done_without_and_made_good() -> None:
    blocks = with_licences(licence(1, 5))
    whole = bytes(blocks.data)
    honest = state(opened(blocks.data))
    for half in (slice(0, SIZE // 2), slice(SIZE // 2, SIZE)):
        data = bytearray(whole)
        data[half] = b"\xff" * (SIZE // 2)
        found = opened(data)
        assert state(found) == honest
        apply(data, found.repairs)
        assert opened(data).repairs == ()


def test_on_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "medium"
    path.write_bytes(b"\xa5" * 4096 + bytes(SIZE) + b"\x5a" * 4096)
    name = format_ledger(path, 4096, SIZE)
    with LedgerFile(path, 4096, SIZE, SERIAL) as file:
        assert file.ledger.id == name
        file.import_licence(licence(1, 5))
        file.reserve(ONE, "any")
        with pytest.raises(InUse, match="in use by another program"):
            LedgerFile(path, 4096, SIZE, SERIAL)
    with LedgerFile(path, 4096, SIZE, SERIAL, writable=False) as file:
        assert balances(file) == [(4, 1, 0)]
    with pytest.raises(InUse, match="holds a licence ledger already"):
        format_ledger(path, 4096, SIZE)
    assert format_ledger(path, 4096, SIZE, ledger_id=bytes(16), replace=True) == "00" * 16
    data = path.read_bytes()
    assert (data[:4096], data[-4096:]) == (b"\xa5" * 4096, b"\x5a" * 4096)
    assert len(data) == SIZE + 8192


def test_what_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "medium"
    with pytest.raises(NotFound):
        LedgerFile(path, 0, SIZE, SERIAL)
    path.write_bytes(bytes(SIZE))
    with pytest.raises(NotFound, match="no licence ledger"):
        LedgerFile(path, 0, SIZE, SERIAL)
    with pytest.raises(DiskFailed, match="are needed"):
        LedgerFile(path, 0, SIZE - 1, SERIAL)
    with pytest.raises(DiskFailed, match="ends in the middle"):
        LedgerFile(path, 4096, SIZE, SERIAL)


def test_after_a_write_that_failed_the_medium_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "medium"
    path.write_bytes(bytes(SIZE))
    format_ledger(path, 0, SIZE)
    file = LedgerFile(path, 0, SIZE, SERIAL)
    file.import_licence(licence(1, 5))
    write, calls = DirectBlocks.write, []

    def once(self: DirectBlocks, offset: int, data: bytes) -> None:
        calls.append(offset)
        if len(calls) == 2:
            raise DiskFailed("the second copy is not written")
        write(self, offset, data)

    with monkeypatch.context() as patch:
        patch.setattr(DirectBlocks, "write", once)
        with pytest.raises(DiskFailed):
            file.reserve(ONE, "any")
    # The first copy was: so it has happened.
    assert file.ledger.standing(ONE) is Standing.RESERVED
    assert balances(file) == [(4, 1, 0)]


@contextmanager
def failing(start: int, length: int) -> Iterator[None]:
    """``length`` bytes from ``start`` of every file can be neither read nor written."""
    read, write = os.preadv, os.pwrite

    def bad(offset: int, size: int) -> bool:
        return offset < start + length and start < offset + size

    def preadv(fd: int, views: list[memoryview], offset: int) -> int:
        if bad(offset, sum(map(len, views))):
            raise OSError(errno.EIO, "Input/output error")
        return read(fd, views, offset)

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        if bad(offset, len(data)):
            raise OSError(errno.EIO, "Input/output error")
        return write(fd, data, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        patch.setattr(os, "pwrite", pwrite)
        yield


@pytest.mark.parametrize("copy", COPIES)
def test_sectors_that_fail_cost_one_copy(tmp_path: Path, copy: int) -> None:
    path = tmp_path / "medium"
    path.write_bytes(bytes(SIZE))
    format_ledger(path, 0, SIZE)
    with LedgerFile(path, 0, SIZE, SERIAL) as file:
        file.import_licence(licence(1, 2))
        before = file.reserve(ONE, "any")
    # The record of the change before the last, in one copy.
    with failing(copy + record_at(before.sequence - 1), RECORD_SIZE):
        with LedgerFile(path, 0, SIZE, SERIAL) as file:
            assert file.ledger.record == before.record
            file.reserve(TWO, "any")
        with LedgerFile(path, 0, SIZE, SERIAL) as file:
            assert balances(file) == [(0, 2, 0)]
    # Where the next record goes: who consumes is told, and nothing is lost.
    with LedgerFile(path, 0, SIZE, SERIAL) as file:
        with failing(copy + record_at(before.sequence + 2), RECORD_SIZE):
            with pytest.raises(DiskFailed, match="cannot be written"):
                file.consume(ONE)
            assert file.ledger.balances()[0].left == 0
        file.consume(ONE)
        assert balances(file) == [(0, 1, 1)]

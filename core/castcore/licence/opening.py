"""A ledger from the bytes of its two copies: what a cut write left is told from what somebody changed.

Of one cut write at most one record of the 32 is damaged, and the other copy has what belongs there.
Whatever else does not fit together was not our doing, or the medium is dying: it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from castcore.errors import NotFound, Untrusted
from castcore.licence.layout import (
    BLOCK,
    COPIES,
    COPY,
    RECORD_SIZE,
    RECORD_SLOTS,
    RECORDS_AT,
    licence_at,
    record_at,
)
from castcore.licence.ledger import Ledger, Write
from castcore.licence.licencefile import Licence, open_licence
from castcore.licence.record import Event, EventKind, Record, checksum, parse_record, whole
from castcore.licence.slots import (
    LEDGER_ID_SIZE,
    encode_header,
    encode_slot,
    ledger_name,
    licence_name,
    slot_content,
)

_ADVICE = "it was changed, or its disk is failing: ask the licences' issuer for new ones"
Copies = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Found:
    """A record, and its bytes on the disk."""

    record: Record
    data: bytes


def fresh_ledger(ledger: bytes) -> tuple[Write, ...]:
    """What makes an empty ledger called ``ledger`` (16 bytes); its headers come last."""
    if len(ledger) != LEDGER_ID_SIZE:
        raise ValueError(f"a ledger's name has {LEDGER_ID_SIZE} bytes")
    first = Record(ledger, 0, bytes(32), Event(EventKind.FORMATTED, 0)).encode()
    blank = bytes(COPY)
    return (
        *(Write(copy, blank) for copy in COPIES),
        *(Write(copy + record_at(0), first) for copy in COPIES),
        *(Write(copy, encode_header(ledger)) for copy in COPIES),
    )


def is_ledger(copy_a: bytes, copy_b: bytes) -> bool:
    """Whether there is one, be it damaged. Raises Untrusted: of a newer format.

    One that was not made to its end has no header, and no record but the first.
    """
    copies = (copy_a, copy_b)
    if any(ledger_name(copy[:BLOCK]) for copy in copies):
        return True
    return any(whole(_cell(copy, slot)) for copy in copies for slot in range(1, RECORD_SLOTS))


def open_ledger(copy_a: bytes, copy_b: bytes, serial: str) -> Ledger:
    """The ledger in both copies of `COPY` bytes, on the disk with serial number ``serial``.

    Raises NotFound (there is none), Untrusted (changed, or another disk's).
    """
    copies = (copy_a, copy_b)
    if not is_ledger(*copies):
        raise NotFound("there is no licence ledger", hint="`media-builder deploy-media` makes one")
    name = _name(copies)
    chain = _chain(copies, name)
    record, newest = chain[-1].record, chain[-1].data
    _require_own_disk(record, serial)
    licences, lost = _licences(copies, record)
    _require_sense(record, licences)
    repairs = (*_headers(copies, name), *lost, *_newest(copies, record.sequence, newest))
    history = tuple((one.record.sequence, checksum(one.data)) for one in chain)
    return Ledger(serial, record, checksum(newest), licences, history, repairs)


def _cell(copy: bytes, slot: int) -> bytes:
    at = RECORDS_AT + slot * RECORD_SIZE
    return copy[at : at + RECORD_SIZE]


def _changed(what: str) -> Untrusted:
    return Untrusted(f"the licence ledger is not as it was left: {what}", hint=_ADVICE)


def _name(copies: Copies) -> bytes:
    """The ledger's name, by its headers."""
    names = {name for copy in copies if (name := ledger_name(copy[:BLOCK])) is not None}
    if len(names) != 1:
        raise _changed("its two headers differ" if names else "both headers are damaged")
    return names.pop()


def _chain(copies: Copies, name: bytes) -> list[_Found]:
    """The records there are, proven to follow one another, the newest last."""
    found: dict[int, _Found] = {}
    behind: list[int] = []
    for slot in range(RECORD_SLOTS):
        cells = [_cell(copy, slot) for copy in copies]
        good = [_Found(parse_record(cell), cell) for cell in cells if whole(cell)]
        if not good and all(any(cell) for cell in cells):
            raise _changed("a record is damaged in both copies")
        for one in good:
            if one.record.ledger != name or one.record.sequence % RECORD_SLOTS != slot:
                raise _changed("a record is not where it belongs")
            if found.setdefault(one.record.sequence, one) != one:
                raise _changed("its two copies differ")
        if len(good) == 2 and good[0] != good[1]:
            behind += [good[0].record.sequence]
    chain = [found[number] for number in sorted(found)]
    if not chain:
        raise _changed("it has no record")
    # The first copy is written first: of the newest record alone may the second be one round behind.
    if behind not in ([], [chain[-1].record.sequence]):
        raise _changed("its two copies are too far apart")
    _require_chain(chain)
    return chain


def _require_chain(chain: list[_Found]) -> None:
    """Return if no record is missing, and each is what the one before could become."""
    numbers = [one.record.sequence for one in chain]
    oldest = max(0, numbers[-1] - RECORD_SLOTS + 1)
    if [number for number in numbers if number >= oldest] != list(range(oldest, numbers[-1] + 1)):
        raise _changed("records are missing")
    for before, after in pairwise(chain):
        if after.record.sequence != before.record.sequence + 1:
            continue
        if after.record.previous != checksum(before.data) or not _follows(before.record, after.record):
            raise _changed(f"record {after.record.sequence} does not follow the one before")


def _follows(earlier: Record, later: Record) -> bool:
    """Whether nothing that was consumed, imported or bound before is so no more."""
    held = zip(earlier.holdings, later.holdings, strict=False)
    return (
        len(earlier.holdings) <= len(later.holdings)
        and all(a.licence == b.licence and a.consumed <= b.consumed for a, b in held)
        and earlier.serial in (None, later.serial)
    )


def _require_own_disk(record: Record, serial: str) -> None:
    if record.serial not in (None, serial):
        raise Untrusted(
            f"this licence ledger belongs to the USB disk with serial number {record.serial},"
            f" and this one has {serial or 'none'}: it is a copy",
            hint="use the disk that the licences were issued for",
        )


def _licences(copies: Copies, record: Record) -> tuple[tuple[Licence, ...], tuple[Write, ...]]:
    """The licences that the record names, and what mends a copy that has lost one."""
    licences: list[Licence] = []
    repairs: list[Write] = []
    for slot, held in enumerate(record.holdings):
        at = licence_at(slot)
        blocks = [copy[at : at + BLOCK] for copy in copies]
        files = [slot_content(block) for block in blocks]
        data = next((file for file in files if licence_name(file) == held.licence), None)
        if data is None:
            raise _changed(f"licence {slot} is damaged in both copies")
        licences.append(open_licence(data))
        right = encode_slot(data)
        repairs += [
            Write(copy + at, right) for copy, block in zip(COPIES, blocks, strict=True) if block != right
        ]
    return tuple(licences), tuple(repairs)


def _require_sense(record: Record, licences: tuple[Licence, ...]) -> None:
    """Return if no licence gave more than it has."""
    for slot, (licence, held) in enumerate(zip(licences, record.holdings, strict=True)):
        reserved = sum(kept.slot == slot for kept in record.reservations.values())
        if held.consumed + reserved > licence.count:
            raise _changed(f"licence {licence.id[:8]} gave more than its {licence.count}")
    if any(kept.slot >= len(licences) for kept in record.reservations.values()):
        raise _changed("it reserves a licence that it has not")


def _headers(copies: Copies, name: bytes) -> tuple[Write, ...]:
    header = encode_header(name)
    return tuple(
        Write(at, header) for at, copy in zip(COPIES, copies, strict=True) if copy[:BLOCK] != header
    )


def _newest(copies: Copies, sequence: int, data: bytes) -> tuple[Write, ...]:
    at = record_at(sequence)
    return tuple(
        Write(start + at, data)
        for start, copy in zip(COPIES, copies, strict=True)
        if copy[at : at + RECORD_SIZE] != data
    )

"""One record of a ledger: the whole state after one event, as bytes and back (``LEDGER.md``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from castcore.errors import Untrusted
from castcore.licence.layout import LICENCE_SLOTS, RECORD_SIZE
from castcore.trust import DIGEST_SIZE, digest, short_digest

MAGIC = b"FLEETREC"
FORMAT = 1
KEY_SIZE = 16
MOST_RESERVATIONS = 512
MOST_RECENT = 128

_HEAD = struct.Struct("<8sHHHHQ16s32sBBHQ16sB127s")
_LICENCE = struct.Struct("<16sII")
_RESERVATION = struct.Struct("<16sHHI")
_LICENCES_AT = _HEAD.size
_RESERVATIONS_AT = _LICENCES_AT + LICENCE_SLOTS * _LICENCE.size
_RECENT_AT = _RESERVATIONS_AT + MOST_RESERVATIONS * _RESERVATION.size
_RECENT_END = _RECENT_AT + MOST_RECENT * KEY_SIZE
_CHECKSUM_AT = RECORD_SIZE - DIGEST_SIZE


class EventKind(IntEnum):
    """What a record is the result of."""

    FORMATTED = 0
    IMPORTED = 1
    RESERVED = 2
    CONSUMED = 3
    RELEASED = 4


@dataclass(frozen=True, slots=True)
class Use:
    """What a licence is reserved for: one machine in one cast. Both are any text, at any length."""

    cast: str
    machine: str

    @property
    def key(self) -> bytes:
        """What the ledger knows it by."""
        cast, machine = self.cast.encode(), self.machine.encode()
        return short_digest(struct.pack("<I", len(cast)) + cast + machine, KEY_SIZE)


@dataclass(frozen=True, slots=True)
class Event:
    """``count`` uses changed at ``time`` (Unix seconds); ``key`` is the first's, or the licence's."""

    kind: EventKind
    time: int
    key: bytes = bytes(KEY_SIZE)
    count: int = 1


@dataclass(frozen=True, slots=True)
class Holding:
    """A licence in the ledger: the first 16 bytes of its file's BLAKE3, and how many it has lost."""

    licence: bytes
    consumed: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """One of the licence in ``slot`` is kept since ``since``, Unix seconds."""

    slot: int
    since: int


@dataclass(frozen=True)
class Record:
    """The state after ``event``. ``previous`` is the checksum of the record before (zeros: none).

    ``serial`` is that of the disk the ledger is bound to, None while it has never had a licence;
    ``recent`` are the keys of the uses consumed last, the newest last.
    """

    ledger: bytes
    sequence: int
    previous: bytes
    event: Event
    serial: str | None = None
    holdings: tuple[Holding, ...] = ()
    reservations: Mapping[bytes, Reservation] = field(default_factory=dict)
    recent: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """`RECORD_SIZE` bytes; the last 32 are the BLAKE3 of all before them."""
        serial, event = (self.serial or "").encode(), self.event
        out = bytearray(RECORD_SIZE)
        _HEAD.pack_into(
            out,
            0,
            MAGIC,
            FORMAT,
            len(self.holdings),
            len(self.reservations),
            len(self.recent),
            self.sequence,
            self.ledger,
            self.previous,
            event.kind,
            self.serial is not None,
            event.count,
            event.time,
            event.key,
            len(serial),
            serial,
        )
        for slot, held in enumerate(self.holdings):
            at = _LICENCES_AT + slot * _LICENCE.size
            _LICENCE.pack_into(out, at, held.licence, held.consumed, 0)
        for number, (key, kept) in enumerate(self.reservations.items()):
            at = _RESERVATIONS_AT + number * _RESERVATION.size
            _RESERVATION.pack_into(out, at, key, kept.slot, 0, kept.since)
        recent = b"".join(self.recent)
        out[_RECENT_AT : _RECENT_AT + len(recent)] = recent
        out[_CHECKSUM_AT:] = digest(memoryview(out)[:_CHECKSUM_AT])
        return bytes(out)


def checksum(data: bytes) -> bytes:
    """The checksum that an encoded record carries, and the next one names as ``previous``."""
    return data[_CHECKSUM_AT:]


def whole(data: bytes) -> bool:
    """Whether ``data`` is a record, written to its end and not changed since."""
    body = memoryview(data)[:_CHECKSUM_AT]
    return data.startswith(MAGIC) and digest(body) == checksum(data)


def parse_record(data: bytes) -> Record:
    """The record that a :func:`whole` ``data`` spells. Raises Untrusted: only its writer knows why."""
    try:
        record = _parse(data)
    except (ValueError, struct.error) as error:
        raise Untrusted(f"a record of the ledger makes no sense: {error}") from None
    if record.encode() != data:
        raise Untrusted("a record of the ledger holds what no Fleetcast writes")
    return record


def _parse(data: bytes) -> Record:
    (_, number, licences, reservations, recent, sequence, ledger, previous, kind, bound, *rest) = (
        _HEAD.unpack_from(data)
    )
    count, time, key, length, serial = rest
    if number != FORMAT:
        raise ValueError(f"its format is {number}, this Fleetcast knows {FORMAT}")
    if licences > LICENCE_SLOTS or reservations > MOST_RESERVATIONS or recent > MOST_RECENT:
        raise ValueError("it counts more than it has room for")
    held, kept = data[_LICENCES_AT:_RESERVATIONS_AT], data[_RESERVATIONS_AT:_RECENT_AT]
    done = data[_RECENT_AT:_RECENT_END]
    return Record(
        ledger,
        sequence,
        previous,
        Event(EventKind(kind), time, key, count),
        serial[:length].decode() if bound else None,
        tuple(
            Holding(name, consumed)
            for name, consumed, _ in _LICENCE.iter_unpack(held[: licences * _LICENCE.size])
        ),
        {
            name: Reservation(slot, since)
            for name, slot, _, since in _RESERVATION.iter_unpack(
                kept[: reservations * _RESERVATION.size]
            )
        },
        tuple(done[at : at + KEY_SIZE] for at in range(0, recent * KEY_SIZE, KEY_SIZE)),
    )

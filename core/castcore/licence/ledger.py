"""The ledger of a deploy medium: how many casts of which licence are left, and who holds one.

Pure: every change gives the pieces to write, in their order, and the ledger as it is once all of them
are on the disk. Power may be cut at any sector of any of them: what is found then is the ledger before
the change, or after it (:mod:`castcore.licence.opening`). ``LEDGER.md`` says how and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from castcore.errors import NotFound, Refused, Untrusted
from castcore.licence.layout import COPIES, LICENCE_SLOTS, RECORD_SLOTS, licence_at, record_at
from castcore.licence.licencefile import Licence, open_licence
from castcore.licence.record import (
    MOST_RECENT,
    MOST_RESERVATIONS,
    Event,
    EventKind,
    Holding,
    Record,
    Reservation,
    Use,
    checksum,
)
from castcore.licence.slots import encode_slot, licence_name

# Expires after all others.
NEVER = 1 << 62


class NoLicence(Refused):
    """No licence of the medium can be reserved; the message says why for each kind of reason."""

    advice = "bring another licence file, or cast from another medium"


class Standing(StrEnum):
    """How a ledger knows a use. CONSUMED is remembered of the last `MOST_RECENT` only."""

    UNKNOWN = "unknown"
    RESERVED = "reserved"
    CONSUMED = "consumed"


@dataclass(frozen=True, slots=True)
class Write:
    """Whole blocks to write at ``offset`` within the ledger, durably before the next one."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Balance:
    """A licence in the ledger: how many of its count were consumed, and are reserved."""

    licence: Licence
    consumed: int
    reserved: int

    @property
    def left(self) -> int:
        """How many can still be reserved; never below zero."""
        return self.licence.count - self.consumed - self.reserved

    def left_at(self, now: int) -> int:
        """The same; none once the licence has expired (``now`` in Unix seconds)."""
        return 0 if self.licence.expired(now) else self.left


@dataclass(frozen=True)
class Ledger:
    """A ledger as it stands on its medium.

    ``serial`` is the serial number of the disk it is on; ``mark`` the checksum of its ``record``;
    ``history`` the checksums of the records still there, the newest last, with their sequences;
    ``repairs`` what is to be written before anything else, so that both copies are whole.
    """

    serial: str
    record: Record
    mark: bytes
    licences: tuple[Licence, ...]
    history: tuple[tuple[int, bytes], ...]
    repairs: tuple[Write, ...] = ()

    @property
    def id(self) -> str:
        """The ledger's own name, 32 hex digits."""
        return self.record.ledger.hex()

    @property
    def sequence(self) -> int:
        """How many changes there were."""
        return self.record.sequence

    def balances(self) -> tuple[Balance, ...]:
        """Every licence in the ledger."""
        reserved = Counter(kept.slot for kept in self.record.reservations.values())
        return tuple(
            Balance(licence, held.consumed, reserved[slot])
            for slot, (licence, held) in enumerate(zip(self.licences, self.record.holdings, strict=True))
        )

    def left(self, now: int, issuers: frozenset[str] | None = None, image: str | None = None) -> int:
        """How many licences, for ``image`` or for any, `reserve` could still give now."""
        return sum(
            balance.left_at(now)
            for balance in self.balances()
            if (issuers is None or balance.licence.issuer in issuers)
            and (image is None or balance.licence.covers(image))
        )

    def standing(self, use: Use) -> Standing:
        """Whether ``use`` has a licence now, or consumed one lately."""
        if use.key in self.record.reservations:
            return Standing.RESERVED
        return Standing.CONSUMED if use.key in self.record.recent else Standing.UNKNOWN

    def mark_of(self, sequence: int) -> bytes | None:
        """The checksum of the record numbered ``sequence``; None when it is overwritten."""
        return dict(self.history).get(sequence)

    def import_licence(self, data: bytes, now: int) -> Step:
        """Take in a licence file, and bind the ledger to its disk; nothing when it is in already.

        Raises Untrusted (no licence, another disk's), Refused (expired, no room).
        """
        licence = open_licence(data)
        if licence in self.licences:
            return Step(self)
        what = f"licence {licence.id[:8]}"
        if any(licence.id == own.id for own in self.licences):
            raise Untrusted(f"{what} is in the ledger with other terms")
        if licence.medium and licence.medium != self.serial:
            raise Untrusted(
                f"{what} is for the USB disk with serial number {licence.medium},"
                f" not for {self.serial or 'one without'}",
                hint="use it on that disk",
            )
        if licence.expired(now):
            raise Refused(f"{what} has expired", hint="ask its issuer for a new one")
        if len(self.licences) == LICENCE_SLOTS:
            raise Refused(f"a medium holds at most {LICENCE_SLOTS} licences", hint="use another medium")
        held = Holding(licence_name(data))
        after = self._after(
            Event(EventKind.IMPORTED, now, held.licence),
            serial=self.serial,
            holdings=(*self.record.holdings, held),
        )
        slot, block = len(self.licences), encode_slot(data)
        first = tuple(Write(copy + licence_at(slot), block) for copy in COPIES)
        step = self._step(after, (*self.licences, licence))
        return Step(step.ledger, (*first, *step.writes))

    def reserve(self, use: Use, image: str, now: int, issuers: frozenset[str] | None = None) -> Step:
        """Keep a licence for ``use`` of ``image``; nothing when it has one. Raises NoLicence.

        Of several licences it is one of that which expires first, then of which the fewest are left.
        ``issuers``: the keys (hex) whose licences count; None: of everybody.
        """
        if use.key in self.record.reservations:
            return Step(self)
        slot = self._choose(image, now, issuers)
        if len(self.record.reservations) == MOST_RESERVATIONS:
            raise NoLicence(
                f"{MOST_RESERVATIONS} licences are reserved, no more can be at a time",
                hint="wait until other machines are done",
            )
        after = self._after(
            Event(EventKind.RESERVED, now, use.key),
            reservations={**self.record.reservations, use.key: Reservation(slot, now)},
        )
        return self._step(after)

    def consume(self, *uses: Use, now: int) -> Step:
        """Turn reservations, at most `MOST_RECENT`, into licences consumed, in one change.

        One that was consumed lately is left alone. Raises NotFound when a use has no reservation.
        """
        if len(uses) > MOST_RECENT:
            raise ValueError(f"{len(uses)} uses at once, more than are remembered")
        unknown = next((u for u in uses if self.standing(u) is Standing.UNKNOWN), None)
        if unknown is not None:
            raise NotFound(f"no licence is reserved for {unknown.machine} in cast {unknown.cast}")
        keys = self._reserved(uses)
        if not keys:
            return Step(self)
        lost = Counter(self.record.reservations[key].slot for key in keys)
        holdings = tuple(
            replace(held, consumed=held.consumed + lost[slot])
            for slot, held in enumerate(self.record.holdings)
        )
        recent = (*(key for key in self.record.recent if key not in keys), *keys)[-MOST_RECENT:]
        event = Event(EventKind.CONSUMED, now, keys[0], len(keys))
        return self._step(
            self._after(event, holdings=holdings, reservations=self._without(keys), recent=recent)
        )

    def release(self, *uses: Use, now: int) -> Step:
        """Give reservations back, in one change; those that there are."""
        return self._release(self._reserved(uses), now)

    def release_others(self, kept: Iterable[Use], now: int) -> Step:
        """Give every reservation back but those of the uses ``kept``: whose they are is not known."""
        ours = {use.key for use in kept}
        return self._release([key for key in self.record.reservations if key not in ours], now)

    def _choose(self, image: str, now: int, issuers: frozenset[str] | None) -> int:
        """The slot of the licence to take for ``image``. Raises NoLicence."""
        standing = list(enumerate(self.balances()))
        trusted = [(slot, b) for slot, b in standing if issuers is None or b.licence.issuer in issuers]
        covering = [(slot, b) for slot, b in trusted if b.licence.covers(image)]
        lasting = [(slot, b) for slot, b in covering if not b.licence.expired(now)]
        free = [(slot, b) for slot, b in lasting if b.left > 0]
        if free:
            return min(free, key=lambda f: (f[1].licence.expires or NEVER, f[1].left, f[0]))[0]
        if standing and not trusted:
            raise NoLicence("no licence of the medium is by an issuer that is trusted here")
        if not covering:
            products = ", ".join(b.licence.product for _, b in trusted) or "nothing"
            raise NoLicence(f"no licence of the medium is for image {image}, they are for {products}")
        if not lasting:
            raise NoLicence(f"every licence for image {image} has expired")
        consumed, reserved = sum(b.consumed for _, b in lasting), sum(b.reserved for _, b in lasting)
        raise NoLicence(
            f"no licence for image {image} is left: {consumed} consumed, {reserved} reserved"
        )

    def _reserved(self, uses: Iterable[Use]) -> list[bytes]:
        keys = dict.fromkeys(use.key for use in uses)
        return [key for key in keys if key in self.record.reservations]

    def _without(self, keys: Iterable[bytes]) -> dict[bytes, Reservation]:
        gone = set(keys)
        return {key: kept for key, kept in self.record.reservations.items() if key not in gone}

    def _release(self, keys: list[bytes], now: int) -> Step:
        if not keys:
            return Step(self)
        event = Event(EventKind.RELEASED, now, keys[0], len(keys))
        return self._step(self._after(event, reservations=self._without(keys)))

    def _after(self, event: Event, **changed: object) -> Record:
        # mypy cannot know the fields' types here; they are those of the calls above.
        sequence = self.sequence + 1
        return replace(self.record, sequence=sequence, previous=self.mark, event=event, **changed)  # type: ignore[arg-type]

    def _step(self, record: Record, licences: tuple[Licence, ...] | None = None) -> Step:
        data = record.encode()
        history = (*self.history, (record.sequence, checksum(data)))[-RECORD_SLOTS:]
        ledger = replace(
            self,
            record=record,
            mark=checksum(data),
            licences=self.licences if licences is None else licences,
            history=history,
        )
        # The second copy after the first: one of them is whole at every moment.
        return Step(ledger, tuple(Write(copy + record_at(record.sequence), data) for copy in COPIES))


@dataclass(frozen=True, slots=True)
class Step:
    """A change: what to write, in this order, and the ledger once all of it is on the disk."""

    ledger: Ledger
    writes: tuple[Write, ...] = ()

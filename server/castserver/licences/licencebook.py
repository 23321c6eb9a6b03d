"""What the server's database knows of licences: who takes one for which cast, and every ledger's past.

Each step is written here before it is done on the medium, so that a killed server does the rest when it
comes back, and nothing twice::

    RESERVED --disk proven--> DUE --on the medium--> CONSUMED
        |
        +--failed, refused, cancelled--> RETURNING --on the medium--> (forgotten)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from castcore.errors import Untrusted
from castcore.licence import Ledger, Use

from castserver.casts.policy import CastState, PartState
from castserver.database.database import Database
from castserver.database.tables import Base, CastRow, LedgerRow, LicenceRow, LicenceUseRow, PartRow


class UseState(StrEnum):
    """How far a machine's use of a licence is."""

    RESERVED = "reserved"
    DUE = "due"
    CONSUMED = "consumed"
    RETURNING = "returning"


@dataclass(frozen=True, slots=True)
class LicenceUse:
    """A machine's licence for a cast of ``image``, in the ledger with id ``ledger``."""

    cast: str
    machine: str
    ledger: str
    image: str
    state: UseState

    @property
    def use(self) -> Use:
        """It as the ledger knows it."""
        return Use(self.cast, self.machine)


class LicenceBook:
    """The tables of licences; every call may come from any thread. Raises NoSpace, DiskFailed."""

    def __init__(self, database: Database) -> None:
        self._database, self._lock = database, threading.Lock()
        self._uses = {(r.cast, r.machine): _use(r) for r in database.all(LicenceUseRow)}
        self._ledgers = {row.id: row for row in database.all(LedgerRow)}
        self._homes = {row.id: row.ledger for row in database.all(LicenceRow)}

    def use(self, cast: str, machine: str) -> LicenceUse | None:
        """The machine's licence for the cast; None: it has none."""
        return self._uses.get((cast, machine))

    def licensed(self, cast: str) -> bool:
        """Whether machines have, or had, licences for the cast."""
        with self._lock:
            return any(name == cast for name, _ in self._uses)

    def uses(self, state: UseState, ledger: str = "") -> list[LicenceUse]:
        """The uses that are in ``state``, of one ledger or ("") of all."""
        with self._lock:
            found = [use for use in self._uses.values() if use.state is state]
        return [use for use in found if ledger in ("", use.ledger)]

    def want(self, use: LicenceUse) -> None:
        """Write down that this will be reserved."""
        self._database.save(_row(use))
        self._put([use])

    def forget(self, *gone: LicenceUse) -> None:
        """These came to nothing."""
        self._database.save(gone=[_row(use) for use in gone])
        self._put([], gone)

    def save_part(self, row: PartRow, *more: Base) -> None:
        """Save a machine's part in a cast, and in the same transaction ``more`` and what becomes of its
        licence.

        GONE changes nothing: a machine that was lost may come back, as long as the cast lasts.
        """
        state = PartState(row.state)
        use = self._uses.get((row.cast, row.machine))
        if use is None or not state.ended or state is PartState.GONE:
            self._database.save(row, *more)
        else:
            after = UseState.DUE if state is PartState.DONE else UseState.RETURNING
            self._become(after, [use], row, *more)

    def save_cast(self, row: CastRow, *more: Base) -> None:
        """Save a cast and ``more``; in one that has ended, or waits for more machines, nobody keeps a
        licence. In any other each part among ``more`` is still awaited.
        """
        state, uses = CastState(row.state), list[LicenceUse]()
        if state.ended or state is CastState.OPEN:
            uses = [use for use in self.uses(UseState.RESERVED) if use.cast == row.id]
        self._become(UseState.RETURNING, uses, row, *more)

    def give_up(self, cast: str, machine: str) -> None:
        """The machine takes no part in the cast any more."""
        use = self._uses.get((cast, machine))
        self._become(UseState.RETURNING, [use] if use is not None else [])

    def _become(self, state: UseState, uses: list[LicenceUse], *rows: Base) -> None:
        changed = [replace(use, state=state) for use in uses if use.state is UseState.RESERVED]
        self._database.save(*rows, *map(_row, changed))
        # Not before it is durable: from here on it is carried out.
        self._put(changed)

    def _put(self, uses: Iterable[LicenceUse], gone: Iterable[LicenceUse] = ()) -> None:
        with self._lock:
            self._uses |= {(use.cast, use.machine): use for use in uses}
            for use in gone:
                self._uses.pop((use.cast, use.machine), None)

    def require_known(self, ledger: Ledger) -> None:
        """Return if the ledger can be what became of the one we knew. Raises Untrusted."""
        known = self._ledgers.get(ledger.id)
        what = f"the licence ledger {ledger.id[:8]}"
        advice = "use the disk that was used here last; for another one the issuer makes new licences"
        if known is not None:
            if ledger.sequence < known.sequence:
                raise Untrusted(
                    f"{what} is at change {ledger.sequence}, and was at {known.sequence} here: it is an"
                    " older copy",
                    hint=advice,
                )
            mark = ledger.mark_of(known.sequence)
            if mark is not None and mark.hex() != known.mark:
                raise Untrusted(
                    f"{what} has another past than at its last use here: it is a copy", hint=advice
                )
        for licence in ledger.licences:
            self.require_home(licence.id, ledger)

    def require_home(self, licence: str, ledger: Ledger) -> None:
        """Return if no other ledger has the licence with id ``licence``. Raises Untrusted."""
        home = self._homes.get(licence, ledger.id)
        if home != ledger.id:
            raise Untrusted(
                f"licence {licence[:8]} is in ledger {home[:8]} already, not only in {ledger.id[:8]}",
                hint="a licence counts on one medium only",
            )

    def remember(self, ledger: Ledger, *settled: LicenceUse, gone: Sequence[LicenceUse] = ()) -> None:
        """The ledger is so on its medium now: ``settled`` are done, ``gone`` came to nothing."""
        known = self._ledgers.get(ledger.id)
        if known is None or known.sequence != ledger.sequence or settled or gone:
            row = _ledger_row(ledger)
            homes = [
                LicenceRow(id=licence.id, ledger=ledger.id)
                for licence in ledger.licences
                if licence.id not in self._homes
            ]
            if known is None:  # before what refers to it
                self._database.save(row)
            self._database.save(row, *homes, *map(_row, settled), gone=[_row(use) for use in gone])
            self._ledgers[ledger.id] = row
            self._homes |= {home.id: home.ledger for home in homes}
        self._put(settled, gone)


def _use(row: LicenceUseRow) -> LicenceUse:
    return LicenceUse(row.cast, row.machine, row.ledger, row.image, UseState(row.state))


def _row(use: LicenceUse) -> LicenceUseRow:
    return LicenceUseRow(
        cast=use.cast,
        machine=use.machine,
        ledger=use.ledger,
        image=use.image,
        state=use.state.value,
        changed=int(time.time()),
    )


def _ledger_row(ledger: Ledger) -> LedgerRow:
    return LedgerRow(
        id=ledger.id,
        serial=ledger.serial,
        sequence=ledger.sequence,
        mark=ledger.mark.hex(),
        changed=int(time.time()),
    )

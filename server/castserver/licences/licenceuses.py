"""Who took a licence for which cast, and when: read from the database a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from castserver.database.database import Database
from castserver.database.tables import CastRow, LicenceUseRow
from castserver.licences.licencebook import UseState


@dataclass(frozen=True, slots=True)
class TakenLicence:
    """A machine's licence for a cast of ``image``, which ``by`` started; ``changed`` in Unix seconds."""

    ledger: str
    cast: str
    machine: str
    image: str
    state: UseState
    by: str
    changed: int


class LicenceUses:
    """The licences that this server's casts took. Raises DiskFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, ledger: str, offset: int, limit: int) -> list[TakenLicence]:
        """At most ``limit`` after the first ``offset``, the newest first; ``ledger`` "": of all."""
        found = self._database.rows(_chosen(ledger).offset(offset).limit(limit))
        return [
            TakenLicence(r.ledger, r.cast, r.machine, r.image, UseState(r.state), r.by, r.changed)
            for r in found
        ]

    def count(self, ledger: str) -> int:
        """How many there are."""
        chosen = select(func.count().label("n")).select_from(LicenceUseRow)
        if ledger:
            chosen = chosen.where(LicenceUseRow.ledger == ledger)
        return int(self._database.rows(chosen)[0].n)


def _chosen(ledger: str) -> Select[Any]:
    columns: list[Any] = [
        LicenceUseRow.ledger.label("ledger"),
        LicenceUseRow.cast.label("cast"),
        LicenceUseRow.machine.label("machine"),
        LicenceUseRow.image.label("image"),
        LicenceUseRow.state.label("state"),
        CastRow.made_by.label("by"),
        LicenceUseRow.changed.label("changed"),
    ]
    joined = LicenceUseRow.cast == CastRow.id
    chosen: Select[Any] = select(*columns).join_from(LicenceUseRow, CastRow, joined)
    if ledger:
        chosen = chosen.where(LicenceUseRow.ledger == ledger)
    order = (LicenceUseRow.changed.desc(), LicenceUseRow.cast, LicenceUseRow.machine)
    return chosen.order_by(*order)

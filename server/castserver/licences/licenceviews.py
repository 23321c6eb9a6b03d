"""What the API shows of licences: each connected medium's ledger, and what is left of what."""

from __future__ import annotations

import time

from castcore.licence import Balance, Ledger
from pydantic import Field

from castserver.api.viewbase import View
from castserver.licences.licensing import Licensing, OpenedLedger


class LicenceView(View):
    """A licence in a medium's ledger; counts are machines."""

    licence: str = Field(description="id of the licence, hex")
    product: str = Field(description="the images it is for: a name or a pattern")
    count: int
    left: int = Field(description="neither consumed nor reserved; 0 once it has expired")
    reserved: int
    consumed: int
    expires: int = Field(description="Unix seconds; 0: never")
    expired: bool
    issuer: str = Field(description="public key, hex")
    trusted: bool = Field(description="whether this server takes licences of that issuer")


class LedgerView(View):
    """The licence ledger of a connected medium."""

    medium: str
    serial: str = Field(description="serial number of its disk; empty: none")
    ledger: str = Field(description="id of the ledger, hex; empty: it cannot be read")
    changes: int = Field(description="how often it was changed")
    needed: bool = Field(description="casts from the medium take licences")
    problem: str = Field(description="why it cannot be used; empty: it can")
    hint: str
    notes: list[str] = Field(description="licence files on the medium that were not taken, and why")
    licences: list[LicenceView]


def ledger_views(licensing: Licensing) -> list[LedgerView]:
    """The ledger of every connected medium; asked without the clients' lock: a medium takes its time."""
    now, issuers = int(time.time()), licensing.issuers
    return [_ledger_view(opened, ledger, now, issuers) for opened, ledger in licensing.opened()]


def _ledger_view(
    opened: OpenedLedger, ledger: Ledger | None, now: int, issuers: frozenset[str]
) -> LedgerView:
    problem = opened.problem
    return LedgerView(
        medium=opened.place.medium,
        serial=opened.place.serial,
        ledger=ledger.id if ledger else "",
        changes=ledger.sequence if ledger else 0,
        needed=opened.licensed,
        problem=problem.what if problem else "",
        hint=problem.hint if problem else "",
        notes=opened.notes,
        licences=[_licence_view(b, now, issuers) for b in ledger.balances()] if ledger else [],
    )


def _licence_view(balance: Balance, now: int, issuers: frozenset[str]) -> LicenceView:
    licence = balance.licence
    return LicenceView(
        licence=licence.id,
        product=licence.product,
        count=licence.count,
        left=balance.left_at(now),
        reserved=balance.reserved,
        consumed=balance.consumed,
        expires=licence.expires,
        expired=licence.expired(now),
        issuer=licence.issuer,
        trusted=licence.issuer in issuers,
    )

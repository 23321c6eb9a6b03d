"""The audit log in the database: appended to, read, proven unbroken, and cut at its old end only."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from castcore.errors import FleetcastError
from sqlalchemy import select

from castserver.accounts.roles import Caller
from castserver.audit.auditchain import LONGEST_DETAIL, START, Entry, first_broken, link
from castserver.audit.auditquestion import AuditQuestion, conditions
from castserver.database.database import Database
from castserver.database.tables import AuditRow, SettingRow
from castserver.days import DAY

KEEP_DAYS = 365
ANCHOR = "audit-anchor"
# The server itself, where no caller asked for what it did.
SERVER = "server"
# What the table has room for.
LONGEST_NAME, LONGEST_ADDRESS, LONGEST_ACTION = 80, 64, 300
MOST_READ = 1000
# Entries that wait for a database that is away; what is more is counted.
MOST_WAITING = 1000

log = logging.getLogger("fleetcast.audit")


class AuditLog:
    """Every method may be called from any thread; reading raises DiskFailed.

    Every entry goes to the program's own log as well, and first: who can cut off the table's new end
    cannot cut it off there. What cannot be kept now (a full disk, a database that is away) waits in
    memory, and is written by the next call or `catch_up`; of more an entry says how many were lost.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, keep_days: int = KEEP_DAYS
    ) -> None:
        self._database, self._clock, self._keep = database, clock, keep_days * DAY
        self._lock, self._cutting = threading.Lock(), threading.Lock()
        newest = database.find(select(AuditRow).order_by(AuditRow.number.desc()).limit(1))
        end = (newest[0].number, newest[0].chain) if newest else self._read_anchor()
        # The newest entry, which may wait still, and the newest in the table.
        self._number, self._chain = end
        self._kept_to = self._number
        self._waiting: list[AuditRow] = []
        self._lost = 0

    def note(
        self, caller: Caller | None, address: str, action: str, detail: str = "", outcome: str = ""
    ) -> None:
        """Append: ``caller`` (None: the server itself) at ``address`` did ``action``."""
        who = caller.name if caller is not None else SERVER
        role = caller.role.value if caller is not None else ""
        with self._lock:
            self._append(who, role, address, action, detail, outcome)
            try:
                self._write()
            except FleetcastError as error:
                # What was done is done: its caller must hear that, and who can make room get in.
                log.error("entry %d could not be kept yet: %s", self._number, error.what)

    def catch_up(self) -> None:
        """Write what waits, if the database is back; asked often, so it says nothing if it is not."""
        with self._lock, contextlib.suppress(FleetcastError):
            self._write()

    @property
    def waiting(self) -> int:
        """How many entries are not in the database yet, those that are lost too."""
        with self._lock:
            return len(self._waiting) + self._lost

    def _append(self, who: str, *said: str) -> None:
        """``said``: role, address, action, detail, outcome."""
        role, address, action, detail, outcome = said
        lost = len(self._waiting) >= MOST_WAITING
        entry = Entry(
            0 if lost else self._number + 1,
            int(self._clock()),
            _kept(who, LONGEST_NAME),
            role,
            _kept(address, LONGEST_ADDRESS),
            _kept(action, LONGEST_ACTION),
            _kept(detail, LONGEST_DETAIL),
            _kept(outcome, LONGEST_DETAIL),
        )
        told = (entry.who, entry.address, entry.action, entry.detail, entry.outcome)
        shown = " ".join(map(repr, told))
        if lost:
            self._lost += 1
            log.info("lost %s", shown)
            return
        self._number, self._chain = entry.number, link(self._chain, entry)
        self._waiting.append(_row(entry, self._chain))
        log.info("%d %s %s", entry.number, shown, self._chain, extra={"entry": asdict(entry)})

    def _write(self) -> None:
        """Everything that waits, in one transaction: again does no harm when it is there already."""
        while self._waiting:
            # Copies: what was tried once may not be tried again.
            self._database.save(*map(_copy, self._waiting))
            self._kept_to, self._waiting = self._number, []
            if self._lost:
                lost, self._lost = self._lost, 0
                said = "the database was away for too long; they stand in the server's own log"
                self._append(SERVER, "", "", f"{lost} entries were lost", "", said)

    def newest(self) -> int:
        """When the newest entry was written, in Unix seconds; 0: there is none."""
        found = self.page(limit=1)
        return found[0].time if found else 0

    def page(
        self, before: int | None = None, limit: int = 100, question: AuditQuestion | None = None
    ) -> list[Entry]:
        """The newest entries that ``question`` asks for with numbers below ``before``, newest first."""
        asked = conditions(question or AuditQuestion())
        chosen = (
            select(AuditRow).where(*asked).order_by(AuditRow.number.desc()).limit(min(limit, MOST_READ))
        )
        if before is not None:
            chosen = chosen.where(AuditRow.number < before)
        return [_entry(row) for row in self._database.find(chosen)]

    def first_broken(self) -> int | None:
        """The number of the first entry that was changed or is missing; None: all are as written."""
        with self._lock:
            newest = self._kept_to
        with self._cutting:
            last, before = self._read_anchor()
            while last < newest:
                rows = self._database.find(
                    select(AuditRow)
                    .where(AuditRow.number > last, AuditRow.number <= newest)
                    .order_by(AuditRow.number)
                    .limit(MOST_READ)
                )
                if not rows or rows[0].number != last + 1:
                    return last + 1
                broken = first_broken(before, [(_entry(row), row.chain) for row in rows])
                if broken is not None:
                    return broken
                last, before = rows[-1].number, rows[-1].chain
        return None

    def cut(self) -> None:
        """Forget what is older than is to be kept, from the old end on; about once a day."""
        with self._cutting:
            while old := self._old(self._clock() - self._keep):
                anchor = {"number": old[-1].number, "chain": old[-1].chain}
                self._database.save(SettingRow(name=ANCHOR, value=anchor), gone=old)

    def _old(self, before: float) -> Sequence[AuditRow]:
        chosen = select(AuditRow).where(AuditRow.time < int(before)).order_by(AuditRow.number)
        rows = self._database.find(chosen.limit(MOST_READ))
        # A clock that was set back must not tear a hole: only what is old from the first entry on.
        first = self._read_anchor()[0] + 1
        return [row for place, row in enumerate(rows) if row.number == first + place]

    def _read_anchor(self) -> tuple[int, str]:
        for row in self._database.find(select(SettingRow).where(SettingRow.name == ANCHOR)):
            return int(row.value["number"]), str(row.value["chain"])
        return 0, START


def _kept(text: str, most: int) -> str:
    """``text`` as every database gives it back: the chain's hash is over what stands there."""
    plain = text[:most].encode(errors="replace").decode()
    return plain.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _row(entry: Entry, chain: str) -> AuditRow:
    return AuditRow(
        number=entry.number,
        time=entry.time,
        who=entry.who,
        role=entry.role,
        address=entry.address,
        action=entry.action,
        detail=entry.detail,
        outcome=entry.outcome,
        chain=chain,
    )


def _copy(row: AuditRow) -> AuditRow:
    return _row(_entry(row), row.chain)


def _entry(row: AuditRow) -> Entry:
    return Entry(
        row.number, row.time, row.who, row.role, row.address, row.action, row.detail, row.outcome
    )

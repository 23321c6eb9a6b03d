"""Licences in casts: reserved at the join, consumed once a disk is proven, given back when it is not.

The ledger is on the medium, what is to be done with it in the database
(:mod:`castserver.licences.licencebook`). A medium may be pulled out at any time; what is due is done
when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.edge.licence.licencefiles import licence_files
from castcore.errors import Busy, DiskFailed, FleetcastError, InUse, NotFound, Refused, Untrusted
from castcore.licence import MOST_RECENT, Ledger, NoLicence, Standing, open_licence, require_issuer

from castserver.database.database import Database
from castserver.database.tables import Base, CastRow, PartRow
from castserver.licences.ledgerholder import HeldLedger, LedgerHolder, NoLedgers
from castserver.licences.licencebook import LicenceBook, LicenceUse, UseState
from castserver.licences.licenceterms import LicenceEvent, LicencesLeft, LicenceTerms, WithoutLicence

log = logging.getLogger("fleetcast")


@dataclass
class OpenedLedger:
    """A connected medium's ledger; ``problem`` says why it is of no use.

    ``files``: there are licence files on the medium; ``notes`` say why some of them do not count.
    """

    place: HeldLedger
    file: LedgerFile | None = None
    problem: FleetcastError | None = None
    notes: list[str] = field(default_factory=list)
    files: bool = False

    @property
    def licensed(self) -> bool:
        """Whether casts from the medium take licences: unless it has none, and never had any."""
        if self.file is not None:
            return self.files or bool(self.file.ledger.licences)
        return self.files or not isinstance(self.problem, NotFound)


class Licensing:
    """All of it for one server; every call may come from any thread. Raises NoSpace, DiskFailed."""

    def __init__(
        self,
        database: Database,
        holder: LedgerHolder | None = None,
        terms: LicenceTerms | None = None,
        told: Callable[[LicenceEvent], None] = lambda _: None,
    ) -> None:
        self._holder, self._terms, self._told = holder or NoLedgers(), terms or LicenceTerms(), told
        self._lock = threading.RLock()
        self._book = LicenceBook(database)
        self._opened: dict[HeldLedger, OpenedLedger] = {}

    @property
    def issuers(self) -> frozenset[str]:
        """The keys (hex) whose licences count."""
        return self._terms.issuers

    def claim(self, cast: str, machine: str, image: str, medium: str) -> None:
        """Reserve a licence for ``machine`` in ``cast`` of ``image``, if it needs one and has none.

        ``medium`` is the key of the medium that the image lies on, "": none.

        Raises NoLicence (the reason), Busy (its medium is away), DiskFailed, Untrusted (its ledger).
        """
        with self._lock:
            use = self._book.use(cast, machine)
            if use is not None and use.state in (UseState.DUE, UseState.CONSUMED):
                return
            opened = self._opened_for(image, medium)
            if opened is None:
                if self._book.licensed(cast):
                    raise Busy("the medium with the licences of this cast is not connected")
                return
            with self._using(opened) as file:
                if use is not None and use.ledger != file.ledger.id:
                    raise NoLicence("its licence for this cast lies on another medium")
                use = LicenceUse(cast, machine, file.ledger.id, image, UseState.RESERVED)
                again = file.ledger.standing(use.use) is Standing.RESERVED
                self._reserve(file, use)
                if not again:
                    self._tell("reserved", opened, file.ledger, cast, machine)

    def left(self, image: str, medium: str) -> LicencesLeft:
        """To how many machines ``image``, by its name without its folder, can still be cast."""
        try:
            with self._lock:
                opened = self._opened_for(image, medium)
                if opened is None:
                    return LicencesLeft(None)
                with self._using(opened) as file:
                    return LicencesLeft(file.ledger.left(int(time.time()), self.issuers, image))
        except FleetcastError as error:
            return LicencesLeft(0, error.what)

    def require(self, cast: str, machine: str, image: str, medium: str) -> None:
        """Return if ``machine``, whose disk is proven, has a licence; else it gets one now.

        It has none when it was given up before, and its licence went back. Raises as :meth:`claim`.
        """
        use = self._book.use(cast, machine)
        if use is not None and use.state is not UseState.RETURNING:
            return  # the usual case, without waiting for a medium that is being written
        with self._lock:
            use = self._book.use(cast, machine)
            if use is None:
                self.claim(cast, machine, image, medium)
            elif use.state is UseState.RETURNING:  # and not on its way: we have the lock
                self._book.want(replace(use, state=UseState.RESERVED))

    def save_part(self, row: PartRow, *more: Base) -> None:
        """Save a part, ``more``, and what becomes of its licence; :meth:`settle` carries that out."""
        self._book.save_part(row, *more)

    def save_cast(self, row: CastRow, *more: Base) -> None:
        """Save a cast, ``more``, and what becomes of its licences; :meth:`settle` carries that out."""
        self._book.save_cast(row, *more)

    def give_up(self, cast: str, machine: str) -> None:
        """The machine takes no part in the cast any more; :meth:`settle` gives its licence back."""
        self._book.give_up(cast, machine)

    def reserved(self) -> list[tuple[str, str]]:
        """Which machines (in which cast, machine) have a licence reserved."""
        return [(use.cast, use.machine) for use in self._book.uses(UseState.RESERVED)]

    def settle(self) -> None:
        """Look which media are connected, and do there what is due."""
        with self._lock:
            self.look()
            for opened in list(self._opened.values()):
                if opened.file is None:
                    continue
                try:
                    with self._using(opened) as file:
                        self._consume(opened, file)
                        self._give_back(opened, file)
                except FleetcastError as error:
                    medium = opened.place.medium
                    log.error("licences of %s: %s", medium, error.what, extra={"medium": medium})

    def release_strays(self, medium: str) -> int:
        """Give back what is reserved on ``medium`` for casts that are none of this server's.

        Returns how many. Raises NotFound, DiskFailed, Untrusted.
        """
        with self._lock:
            self.look()
            opened = next((o for o in self._opened.values() if o.place.medium == medium), None)
            if opened is None:
                raise NotFound(f"there is no medium {medium[:40]!r} with a licence ledger now")
            if opened.problem is not None:
                raise opened.problem
            with self._using(opened) as file:
                before = file.ledger
                kept = [
                    use.use
                    for state in (UseState.RESERVED, UseState.DUE)
                    for use in self._book.uses(state, before.id)
                ]
                after = file.release_others(kept)
                self._book.remember(after)
                return len(before.record.reservations) - len(after.record.reservations)

    def opened(self) -> list[tuple[OpenedLedger, Ledger | None]]:
        """Every connected medium's ledger as it stands."""
        found: list[tuple[OpenedLedger, Ledger | None]] = []
        with self._lock:
            self.look()
            for opened in list(self._opened.values()):
                ledger = None
                if opened.file is not None:
                    try:
                        with self._using(opened) as file:
                            ledger = file.ledger
                    except FleetcastError as error:
                        opened.problem = error
                found.append((opened, ledger))
        return found

    def close(self) -> None:
        """Close every ledger."""
        with self._lock:
            for place in list(self._opened):
                self._drop(place)

    def look(self) -> None:
        """Open the ledgers of media that have come, close those of media that are gone."""
        with self._lock:
            places = self._holder.places()
            for place in set(self._opened) - set(places):
                self._drop(place)
            for place in places:
                known = self._opened.get(place)
                # What is in use, or cannot be read, may be well again.
                if known is None or isinstance(known.problem, InUse | DiskFailed):
                    self._opened[place] = self._open(place)
                    self._note_problem(self._opened[place], known)

    def _drop(self, place: HeldLedger) -> None:
        gone = self._opened.pop(place, None)
        if gone is not None and gone.file is not None:
            gone.file.close()

    def _open(self, place: HeldLedger) -> OpenedLedger:
        opened = OpenedLedger(place)
        with ExitStack() as undo:
            try:
                opened.files = bool(licence_files(place.files))
                file = LedgerFile(place.path, place.offset, place.size, place.serial)
                undo.callback(file.close)
                self._require_single(file.ledger)
                self._book.require_known(file.ledger)
                self._import(opened, file)
                self._book.remember(file.ledger)
            except FleetcastError as error:
                opened.problem = error
            else:
                opened.file = file
                undo.pop_all()
        return opened

    @staticmethod
    def _note_problem(opened: OpenedLedger, before: OpenedLedger | None) -> None:
        problem = opened.problem
        said = before.problem.what if before is not None and before.problem is not None else ""
        if problem is not None and problem.what != said and opened.licensed:
            medium = opened.place.medium
            log.warning("licences of %s: %s", medium, problem.what, extra={"medium": medium})

    def _require_single(self, ledger: Ledger) -> None:
        for other in self._opened.values():
            if other.file is not None and other.file.ledger.id == ledger.id:
                raise Untrusted(
                    f"the licence ledger {ledger.id[:8]} is connected already, on {other.place.medium}:"
                    " one of them is a copy"
                )

    def _import(self, opened: OpenedLedger, file: LedgerFile) -> None:
        """Take in the licence files that lie on the medium; what is wrong with one is noted."""
        for path, data in licence_files(opened.place.files):
            try:
                licence = open_licence(data)
                require_issuer(licence, self._terms.issuers)
                self._book.require_home(licence.id, file.ledger)
                if licence not in file.ledger.licences:
                    ledger = file.import_licence(data)
                    self._tell("imported", opened, ledger, detail=licence.id)
            except (Untrusted, Refused) as error:
                opened.notes.append(f"{path.name}: {error.what}")
                log.warning("licence file %s: %s", path, error.what)

    def _opened_for(self, image: str, medium: str) -> OpenedLedger | None:
        """The ledger that licenses ``image``; None: it is free. Raises NoLicence and its problem."""
        self.look()
        opened = next((o for place, o in self._opened.items() if medium and place.key == medium), None)
        if opened is not None and opened.licensed:
            if isinstance(opened.problem, NotFound):
                raise NoLicence(
                    f"licence files lie on medium {opened.place.medium}, but {opened.problem.what}",
                    hint=opened.problem.hint,
                )
            if opened.problem is not None:
                raise opened.problem
            if opened.file is not None and not opened.file.ledger.licences:
                why = "; ".join(opened.notes[:1])
                raise NoLicence(f"no licence file of medium {opened.place.medium} counts: {why}")
            return opened
        if self._terms.without is WithoutLicence.FREE:
            return None
        has = f"medium {opened.place.medium} holds" if opened else f"image {image} has"
        raise NoLicence(f"{has} no licence, and this server casts nothing without")

    def _reserve(self, file: LedgerFile, use: LicenceUse) -> None:
        if self._book.use(use.cast, use.machine) != use:
            self._book.want(use)
        try:
            ledger = file.reserve(use.use, use.image, self._terms.issuers)
        except NoLicence:
            self._book.forget(use)
            raise
        self._book.remember(ledger)

    def _consume(self, opened: OpenedLedger, file: LedgerFile) -> None:
        due = self._book.uses(UseState.DUE, file.ledger.id)
        # Killed before this was written down; now, as others push them out of what the ledger remembers.
        done = [use for use in due if file.ledger.standing(use.use) is Standing.CONSUMED]
        self._consumed(opened, file.ledger, done)
        for use in due:
            if file.ledger.standing(use.use) is Standing.UNKNOWN:
                # Somebody gave it back on another server meanwhile.
                try:
                    file.reserve(use.use, use.image, self._terms.issuers)
                except NoLicence as error:
                    of = {"machine": use.machine, "cast": use.cast}
                    log.error("licence of %s in %s: %s", *of.values(), error.what, extra=of)
                    self._tell("unpaid", opened, file.ledger, use.cast, use.machine, error.what)
                    self._book.forget(use)
        due = self._book.uses(UseState.DUE, file.ledger.id)
        for at in range(0, len(due), MOST_RECENT):
            some = due[at : at + MOST_RECENT]
            self._consumed(opened, file.consume(*(use.use for use in some)), some)

    def _consumed(self, opened: OpenedLedger, ledger: Ledger, uses: Sequence[LicenceUse]) -> None:
        if uses:
            self._book.remember(ledger, *(replace(use, state=UseState.CONSUMED) for use in uses))
        for use in uses:
            self._tell("consumed", opened, ledger, use.cast, use.machine)

    def _give_back(self, opened: OpenedLedger, file: LedgerFile) -> None:
        back = self._book.uses(UseState.RETURNING, file.ledger.id)
        if back:
            ledger = file.release(*(use.use for use in back))
            self._book.remember(ledger, gone=back)
            for use in back:
                self._tell("released", opened, ledger, use.cast, use.machine)

    @contextmanager
    def _using(self, opened: OpenedLedger) -> Iterator[LedgerFile]:
        """The opened ledger's file; one that fails is opened anew the next time."""
        assert opened.file is not None
        try:
            yield opened.file
        except NoLicence:
            raise
        except FleetcastError:
            self._drop(opened.place)
            raise

    def _tell(
        self,
        word: str,
        opened: OpenedLedger,
        ledger: Ledger,
        cast: str = "",
        machine: str = "",
        detail: str = "",
    ) -> None:
        left = ledger.left(int(time.time()), self.issuers)
        self._told(LicenceEvent(word, opened.place.medium, left, cast, machine, detail))

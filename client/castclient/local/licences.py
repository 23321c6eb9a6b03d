"""A licence of the medium for one restore, as in a cast: reserved before, used up when it is proven."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.edge.licence.licencefiles import read_licence
from castcore.edge.medium import OpenMedium
from castcore.errors import FleetcastError
from castcore.licence import SUFFIX, Balance, Use

# The "cast" of every local restore: a retry at the same machine finds what it has reserved.
LOCAL_CAST = "local"


@contextmanager
def licensed(medium: OpenMedium, image: str, machine: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a licence for ``image`` at ``machine`` while the block runs: used up when it ends well, else
    given back. A medium without any licence asks for none.

    Raises NoLicence, DiskFailed, Untrusted, InUse.
    """
    with opened(medium) as ledger:
        import_files(medium, ledger, say)
        if not ledger.ledger.balances():
            yield
            return
        use = Use(f"{LOCAL_CAST} {image}", machine)
        ledger.reserve(use, image)
        try:
            yield
        except BaseException:
            with suppress(FleetcastError):  # a medium that was pulled out; a later try finds it reserved
                ledger.release(use)
            raise
        ledger.consume(use)


def opened(medium: OpenMedium, *, writable: bool = True) -> LedgerFile:
    """The ledger of ``medium``. Raises NotFound, InUse, DiskFailed, Untrusted."""
    place = medium.ledger
    return LedgerFile(Path(place.path), place.offset, place.size, medium.serial, writable=writable)


def balances(medium: OpenMedium) -> tuple[Balance, ...]:
    """The licences of ``medium``, those too that its ledger will take in; nothing is changed.

    Raises as `opened`.
    """
    with opened(medium, writable=False) as ledger:
        found = ledger.ledger
        for _, data in _files(medium):
            with suppress(FleetcastError):
                found = found.import_licence(data, int(time.time())).ledger
        return found.balances()


def _files(medium: OpenMedium) -> Iterator[tuple[str, bytes]]:
    """The licence files of ``medium``, as far as they can be read."""
    for path in sorted(medium.licences.glob(f"*{SUFFIX}")):
        with suppress(FleetcastError):
            yield path.name, read_licence(path, links=False)


def import_files(medium: OpenMedium, ledger: LedgerFile, say: Callable[[str], None]) -> None:
    """Take in the licence files of ``medium`` that its ledger lacks; what is wrong with one is said."""
    for name, data in _files(medium):
        try:
            ledger.import_licence(data)
        except FleetcastError as error:
            say(f"licence file {name}: {error.what}")

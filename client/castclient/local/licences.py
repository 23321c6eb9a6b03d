"""A licence of the medium for one restore, as in a cast: reserved before, used up when it is proven."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.edge.medium import OpenMedium
from castcore.errors import FleetcastError
from castcore.licence import MOST_BYTES, SUFFIX, Balance, Use

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
    """The licences of ``medium``, not changing it. Raises as `opened`."""
    with opened(medium, writable=False) as ledger:
        return ledger.ledger.balances()


def import_files(medium: OpenMedium, ledger: LedgerFile, say: Callable[[str], None]) -> None:
    """Take in the licence files of ``medium`` that its ledger lacks; what is wrong with one is said."""
    for path in sorted(medium.licences.glob(f"*{SUFFIX}")):
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            ledger.import_licence(data)
        except (FleetcastError, OSError) as error:
            say(f"licence file {path.name}: {getattr(error, 'what', error)}")

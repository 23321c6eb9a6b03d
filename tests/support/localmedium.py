"""A deploy medium in an image file with its ledger, for local captures and restores."""

from __future__ import annotations

from pathlib import Path

from castcore.edge.licence.ledgerfile import LedgerFile, format_ledger
from castcore.edge.medium import medium_at, open_medium
from castcore.licence import ID_SIZE, Balance, issue_licence
from castcore.trust import SigningKey

from tests.support.deploymedia import LEAST, bare_medium

KEY = SigningKey(bytes(range(32)))


def medium_with_ledger(path: Path, size: int = LEAST) -> Path:
    """A medium with an empty store and an empty ledger."""
    bare_medium(path, size=size)
    found = medium_at(path)
    assert found is not None
    format_ledger(path, found.ledger.start, found.ledger.length)
    return path


def add_licence(path: Path, product: str, count: int, name: str = "first") -> None:
    """Put a licence file on the medium, as somebody would who was sent one."""
    data = issue_licence(KEY, name.encode().ljust(ID_SIZE, b"."), product, count)
    with open_medium(path, writable=True) as medium:
        (medium.licences / f"{name}.lic").write_bytes(data)


def balances(path: Path, serial: str = "") -> tuple[Balance, ...]:
    """The licences in the medium's ledger, bound to the disk with that ``serial`` number."""
    found = medium_at(path)
    assert found is not None
    place, serial = found.ledger, serial or found.serial
    with LedgerFile(path, place.start, place.length, serial, writable=False) as ledger:
        return ledger.ledger.balances()


def image_names(path: Path) -> list[str]:
    """What is in the medium's store, anything half made included."""
    with open_medium(path) as medium:
        return sorted(entry.name for entry in medium.images.iterdir())

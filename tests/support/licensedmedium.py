"""A deploy medium with one image and licences for it, in an image file."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import Extent
from castcore.edge.licence.ledgerfile import LedgerFile, format_ledger
from castcore.edge.medium import OpenMedium, medium_at, open_medium
from castcore.licence import Balance, issue_licence
from castcore.units import MIB

from tests.support.deploymedia import bare_medium
from tests.support.images import blank, make_image, noise, write_at
from tests.support.licences import ISSUER

SIZE = 16 * MIB


def licensed_medium(path: Path, raw: Path, licences: int, *, size: int = SIZE) -> Path:
    """Make ``path`` a medium with the image "system" and so many licences; return the imaged disk.

    That is made too, as ``raw``: ``size`` bytes with noise here and there.
    """
    blank(raw, size)
    parts = (Extent(0, 3 * MIB), Extent(5 * MIB, size - 6 * MIB))
    for number, part in enumerate(parts):
        write_at(raw, part.start, noise(part.length, number))
    bare_medium(path)
    with open_medium(path, writable=True) as opened:
        make_image(opened.images, "system", raw, parts)
        add_licences(opened, "sys*", licences)
    return raw


def add_licences(medium: OpenMedium, product: str, count: int) -> None:
    """Put a file of so many licences on a medium, and an empty ledger."""
    data = issue_licence(ISSUER, bytes(16), product, count)
    (medium.licences / "school.lic").write_bytes(data)
    format_ledger(Path(medium.ledger.path), medium.ledger.offset, medium.ledger.size)


def balance(medium: Path) -> Balance:
    """That of the only licence on a medium that no server has."""
    found = medium_at(medium)
    assert found is not None
    place = found.ledger
    with LedgerFile(medium, place.start, place.length, found.serial, writable=False) as file:
        (only,) = file.ledger.balances()
        return only

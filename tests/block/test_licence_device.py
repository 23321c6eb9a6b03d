"""A licence ledger on real block devices of any sector size, past the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore.edge.licence.ledgerfile import LedgerFile, format_ledger
from castcore.edge.run import run
from castcore.errors import InUse
from castcore.licence import SIZE, Standing, Use
from castcore.units import MIB

from tests.support.faultyledger import SERIAL, licence

pytestmark = pytest.mark.root

AT = 3 * MIB
ONE = Use("c1", "m1")


@contextmanager
def loop(path: Path, sector: int) -> Iterator[Path]:
    options = ["--find", "--show", "--sector-size", str(sector)]
    device = run(["losetup", *options, str(path)], timeout=20).decode().strip()
    try:
        yield Path(device)
    finally:
        run(["losetup", "--detach", device], timeout=20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stick"
    path.write_bytes(bytes(AT + SIZE))
    return path


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_ledger_lives_on_a_disk(file: Path, sector: int) -> None:
    with loop(file, sector) as device:
        format_ledger(device, AT, SIZE)
        with LedgerFile(device, AT, SIZE, SERIAL) as ledger:
            ledger.import_licence(licence(1, 2))
            ledger.reserve(ONE, "any")
            # What has returned is on the disk: there for who opens the file behind it, at once.
            with LedgerFile(file, AT, SIZE, SERIAL, writable=False) as seen:
                assert seen.ledger.standing(ONE) is Standing.RESERVED
            with pytest.raises(InUse):
                LedgerFile(device, AT, SIZE, SERIAL)
            ledger.consume(ONE)
        with LedgerFile(device, AT, SIZE, SERIAL) as ledger:
            (balance,) = ledger.ledger.balances()
    assert (balance.left, balance.consumed) == (1, 1)
    assert not any(file.read_bytes()[:AT]), "nothing beside it was touched"

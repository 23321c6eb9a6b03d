"""Real firmware at real sites: every cell ends in our client or, skipped, in the local disk's boot.

Each row keeps packet captures, serial logs and its server's words in ``build/boot-matrix``.
"""

from __future__ import annotations

from itertools import product

import pytest
from castcore.boot import BootDecision

from tests.vm.bootpc import CLIENT
from tests.vm.bootplan import CHOSEN, DECISIONS, SITES, BootFirmware, Family, Row, Site, remaining
from tests.vm.bootrow import Boot, run_row
from tests.vm.firmware import Firmware

pytestmark = [pytest.mark.vm, pytest.mark.root]
SECURE = "secureboot: Secure boot enabled"


def rows() -> list[object]:
    full = [pytest.param(row, marks=pytest.mark.full, id=row.name) for row in remaining()]
    return [*(pytest.param(row, id=row.name) for row in CHOSEN), *full]


@pytest.mark.parametrize("row", rows())
def test_every_pc_of_the_row_ends_where_it_should(row: Row) -> None:
    check = came_to_our_client if row.decision is BootDecision.CLIENT else went_to_its_own_disk
    wrong = [
        f"{boot.firmware.value}: {why} (it ended with {boot.end!r}; it was told {boot.told})"
        for boot in run_row(row)
        if (why := check(boot))
    ]
    assert wrong == []


def came_to_our_client(boot: Boot) -> str:
    """What is wrong with a boot that should have come to our client; "" nothing."""
    if not CLIENT.fullmatch(boot.end):
        return "it did not come to our client"
    # By the capture: behind a relay our server cannot tell by the address whose request it is.
    if not any("vmlinuz" in name for name in boot.fetched):
        return "its kernel did not come from us"
    if boot.firmware.model.firmware is Firmware.UEFI_SECURE and SECURE not in boot.serial:
        return "Secure Boot was not enforced"
    if boot.firmware is BootFirmware.UNDIONLY and "undionly.kpxe" not in boot.fetched:
        return "it did not load undionly.kpxe"
    return ""


def went_to_its_own_disk(boot: Boot) -> str:
    """What is wrong with a boot that should have been skipped; "" nothing."""
    word = "UEFI" if boot.firmware.model.firmware.is_uefi else "BIOS"
    if not boot.end.endswith(f"the local disk booted by {word}"):
        return "it did not boot its own disk"
    if any("vmlinuz" in name for name in boot.fetched):
        return "it took our kernel"
    if not any(told.startswith("skipped ") for told in boot.told):
        return "it was not we who ended its network boot"
    return ""


def test_the_matrix_is_whole_and_no_cell_is_run_twice() -> None:
    cells = [cell for row in (*CHOSEN, *remaining()) for cell in row.cells()]
    assert len(cells) == len(set(cells))
    assert set(cells) == set(product(BootFirmware, Site, DECISIONS))


def test_the_choice_has_every_pair() -> None:
    cells = [cell for row in CHOSEN for cell in row.cells()]
    assert {(f.model.family, site) for f, site, _ in cells} == set(product(Family, SITES))
    assert {(f, decision) for f, _, decision in cells} == set(product(BootFirmware, DECISIONS))
    assert {(site, decision) for _, site, decision in cells} == set(product(SITES, DECISIONS))


@pytest.mark.parametrize("row", [*CHOSEN, *remaining()], ids=lambda row: row.name)
def test_no_rom_is_replaced_but_the_one_that_shall_be(row: Row) -> None:
    others = [f for f in row.firmware if f.model.family is Family.IPXE and not f.model.server]
    assert not (BootFirmware.UNDIONLY in row.firmware and others)

"""Captured packets of real firmware: read as meant, answered as the dumps beside them say."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.boot import Kind, kind_of

from tests.golden.bootdump import FOLDER, dump, packets

CAPTURES = sorted(FOLDER.glob("*.pcap"))
# The virtual PCs were started with this -uuid.
UUID = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_the_answers_are_those_that_booted_this_firmware(capture: Path) -> None:
    assert dump(capture) == capture.with_suffix(".txt").read_text()


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_every_firmware_tells_the_same_uuid(capture: Path) -> None:
    assert {request.uuid for request, _, _ in packets(capture)} == {UUID}


def test_the_captures_cover_the_families_of_firmware() -> None:
    kinds = {kind_of(request) for capture in CAPTURES for request, _, _ in packets(capture)}
    assert kinds >= {Kind.IPXE_BIOS, Kind.UEFI, Kind.HTTP}

"""The menu of a boot medium, and where GRUB's images for a BIOS are patched."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from castcore.errors import FleetcastError, Refused
from castmedia.biosgrub import BOOT_CODE, BiosGrub
from castmedia.grubconfig import CLIENT_ENTRIES, Entry, grub_config
from castmedia.isoimage import volume_date


def linux_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("linux ")]


def test_every_entry_names_the_medium_it_was_started_from() -> None:
    text = grub_config(CLIENT_ENTRIES)
    assert "probe --set=medium --fs-uuid $root" in text
    assert linux_lines(text) == [
        "linux /boot/vmlinuz fleetcast.medium=$medium",
        "linux /boot/vmlinuz fleetcast.medium=$medium nomodeset",
    ]
    assert "initrd /boot/initrd.img /boot/settings.cpio" in text


def test_serial_consoles_are_the_kernels_and_the_first_is_grubs() -> None:
    text = grub_config([Entry("e", "own")], serial=("ttyS1,9600", "ttyS0"), words="more")
    told = "console=tty0 console=ttyS1,9600 console=ttyS0 more own"
    assert linux_lines(text) == [f"linux /boot/vmlinuz fleetcast.medium=$medium {told}"]
    assert "serial --unit=1 --speed=9600" in text
    assert "--unit=0" not in text


@pytest.mark.parametrize("console", ["hvc0", "ttyUSB0", "ttyS4", "ttyAMA0"])
def test_a_console_that_grub_does_not_have(console: str) -> None:
    text = grub_config([Entry("e")], serial=(console,))
    assert "terminal_output" not in text
    assert f"console={console}" in text


@pytest.mark.parametrize("words", ["a;b", "a\nb", "$root", "'x'", "a|b", "a\\b", "{"])
def test_words_that_grub_interprets_are_refused(words: str) -> None:
    with pytest.raises(Refused, match="boot loaders interpret"):
        grub_config(CLIENT_ENTRIES, words=words)


def bios(sectors: int, listed: int) -> BiosGrub:
    core = bytearray(b"\xc0" * (512 * sectors - 100))
    struct.pack_into("<QHH", core, 500, 1, listed, 0x820)
    boot = bytes(range(256)) * 2
    return BiosGrub(boot, Path("hybrid"), bytes(core), Path("cd"))


def test_the_first_sector_names_the_core_and_the_core_its_rest() -> None:
    grub = bios(sectors=5, listed=4)
    code = grub.boot_code(0x1234567890)
    assert len(code) == BOOT_CODE
    assert code[0x5C:0x64] == struct.pack("<Q", 0x1234567890)
    assert code[0x66:0x68] == b"\x90\x90"
    untouched = [n for n in range(BOOT_CODE) if not (0x5C <= n < 0x64 or 0x66 <= n < 0x68)]
    assert all(code[n] == grub.boot[n] for n in untouched)
    core = grub.core_at(2048)
    assert struct.unpack_from("<QHH", core, 500) == (2049, 4, 0x820)
    assert len(core) == 5 * 512
    assert core[512 : len(grub.core)] == grub.core[512:]


def test_a_core_that_lists_another_length_is_refused() -> None:
    with pytest.raises(FleetcastError, match="lists 5 sectors"):
        bios(sectors=5, listed=5).core_at(2048)


@pytest.mark.parametrize("digest", [bytes(32), b"\xff" * 32, bytes(range(32))])
def test_an_isos_date_is_a_time_of_one_day(digest: bytes) -> None:
    date = volume_date(digest)
    assert len(date) == 16
    assert date[:8] == "20200101"
    hour, minute, second = int(date[8:10]), int(date[10:12]), int(date[12:14])
    assert hour < 24
    assert max(minute, second) < 60

"""Driver packs: what their manifests say, and which modules they may hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from castcore.errors import Refused
from castmedia import driverpack, modinfo
from castmedia.driverpack import Pack, PackedFile, PackedModule, SecureBoot
from castmedia.modinfo import ModuleFacts
from castmedia.packinstall import asked_for
from castmedia.packmaking import default_name
from hypothesis import given
from hypothesis import strategies as st

MAGIC = "6.12.1-amd64 SMP preempt mod_unload modversions"
OURS = ModuleFacts("ext4", MAGIC, signer="Build time key", key="1B:F8")
MINE = ModuleFacts("r8125", MAGIC, "GPL")
PACK = Pack(
    "r8125",
    "6.12.1-amd64",
    "GPL",
    "r8125.ko",
    SecureBoot.OFF,
    (
        PackedModule(
            "r8125", PackedFile("modules/r8125.ko", "ab"), ("pci:v000010ECd00008125sv*",), ("libphy",)
        ),
    ),
    (PackedFile("firmware/rtl_nic/x.fw", "cd"),),
)


def test_a_manifest_survives_being_written() -> None:
    assert driverpack.parse(driverpack.encode(PACK)) == PACK


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"modules": [{"name": "x"}]},
        {"secure_boot": "perhaps"},
        {"firmware": [{"path": "firmware/../../etc/passwd", "digest": ""}]},
        {"firmware": [{"path": "/etc/passwd", "digest": ""}]},
        {"surplus": 1},
    ],
)
def test_a_strange_manifest_is_refused(change: dict[str, Any]) -> None:
    value = json.loads(driverpack.encode(PACK)) | change
    with pytest.raises(Refused):
        driverpack.parse(json.dumps(value).encode())


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_being_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        driverpack.parse(data)


def test_a_module_of_another_kernel_is_refused_by_name() -> None:
    driverpack.check_kernel(MINE, OURS)
    with pytest.raises(Refused, match=r"r8125 is for another kernel: 6\.1\.0 SMP, not 6\.12\.1"):
        driverpack.check_kernel(dataclasses.replace(MINE, vermagic="6.1.0 SMP"), OURS)


def test_an_unsigned_module_is_refused_unless_secure_boot_is_off() -> None:
    driverpack.check_signature(MINE, OURS, SecureBoot.OFF)
    for where in (SecureBoot.KERNEL, SecureBoot.ENROLLED):
        with pytest.raises(Refused, match="not signed, so a kernel under Secure Boot will not load it"):
            driverpack.check_signature(MINE, OURS, where)


def test_a_foreign_signature_says_whose_it_is_and_counts_where_it_is_enrolled() -> None:
    signed = dataclasses.replace(MINE, signer="ACME Drivers", key="77")
    with pytest.raises(Refused, match=r"signed by 'ACME Drivers' \(key 77\).*'Build time key'"):
        driverpack.check_signature(signed, OURS, SecureBoot.KERNEL)
    driverpack.check_signature(signed, OURS, SecureBoot.ENROLLED)


def test_the_kernels_own_key_is_trusted() -> None:
    driverpack.check_signature(
        dataclasses.replace(MINE, signer="x", key="1B:F8"), OURS, SecureBoot.KERNEL
    )


def test_what_a_module_needs_comes_from_the_kernel_or_a_pack() -> None:
    names = {"libphy": "kernel/drivers/net/phy/libphy.ko.xz"}
    assert driverpack.needed_modules([PACK], names) == (names["libphy"],)
    with pytest.raises(Refused, match="r8125 of the pack r8125 needs libphy"):
        driverpack.needed_modules([PACK], {})


@pytest.mark.parametrize("name", ["", "..", "A", "a/b", "-a", "a" * 65])
def test_names_that_no_pack_has(name: str) -> None:
    with pytest.raises(Refused, match="cannot be called"):
        driverpack.check_name(name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("r8125.ko", "r8125"),
        ("/tmp/R8125.ko.xz", "r8125"),
        ("firmware-bnx2", "firmware-bnx2"),
        ("x/firmware-bnx2_20250410-2_all.deb", "firmware-bnx2"),
        ("vendor/drivers/", "drivers"),
    ],
)
def test_a_pack_is_called_after_its_source(source: str, name: str) -> None:
    assert default_name(source) == name


def test_of_a_firmware_package_only_what_drivers_ask_for() -> None:
    names = ["tigon/tg3.bin", "bnx2/a-1.fw.xz", "iwlwifi-9.ucode", "qed/qed_init_values_zipped-8.59.bin"]
    asked = {"tigon/tg3.bin", "bnx2/a-1.fw", "qed/qed_init_values_zipped-*.bin", "other.fw"}
    assert asked_for(names, asked) == sorted({*names} - {"iwlwifi-9.ucode"})


def test_what_modinfo_says() -> None:
    said = (
        "filename:       /x/r8125.ko\0alias=pci:v000010ECd00008125sv*\0alias=pci:v000010ECd00003000sv*\0"
        "license=GPL\0depends=libphy,mii-x\0name=r8125\0vermagic=6.12.1-amd64 SMP \0firmware=a=b.fw\0"
        "signer=ACME: Drivers\0sig_key=77:01\0parm:           debug:a=b (int)\0"
    )
    facts = modinfo.parse(said)
    assert facts.aliases == ("pci:v000010ECd00008125sv*", "pci:v000010ECd00003000sv*")
    assert (facts.needs, facts.firmware) == (("libphy", "mii_x"), ("a=b.fw",))
    assert (facts.signer, facts.key, facts.kernel) == ("ACME: Drivers", "77:01", "6.12.1-amd64")

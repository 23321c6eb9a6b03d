"""Profiles and driver packs in real images: memory, ten machines' hardware, a module that is added."""

from __future__ import annotations

from pathlib import Path

import pytest
from castmedia import bootroot, imagereader, packinstall
from castmedia.coverage import Verdict, covered
from castmedia.debianroot import kernel_version
from castmedia.driverpack import SecureBoot
from castmedia.modalias import AliasTable, parse_aliases
from castmedia.packmaking import Wish, gather
from castmedia.pxe import build
from castmedia.recipe import Profile, recipe
from castmedia.stages import Options, stages

from tests.golden.inventoryaliases import TABLE, machines, met
from tests.support.kernelmodule import module
from tests.vm.boottree import BUILD
from tests.vm.firmware import Firmware
from tests.vm.readyboot import READY, seconds_until

pytestmark = [pytest.mark.vm, pytest.mark.root]
MEMORY_MIB = {Profile.VM: 512, Profile.FULL: 1024}
ALIAS = "pci:v00001234d00005678sv*sd*bc*sc*i*"


def tree(profile: Profile) -> Path:
    output = BUILD / f"media-{profile}"
    build(output, Options(BUILD / "cache", profile))
    return output


@pytest.mark.parametrize(
    ("profile", "firmware"),
    [
        pytest.param(Profile.VM, Firmware.BIOS, marks=pytest.mark.full),
        pytest.param(Profile.VM, Firmware.UEFI_SECURE, marks=pytest.mark.full),
        pytest.param(Profile.FULL, Firmware.UEFI_SECURE, marks=pytest.mark.full),
        pytest.param(Profile.FULL, Firmware.BIOS, marks=pytest.mark.full),
    ],
)
def test_the_client_is_ready_in_the_memory_that_is_promised(
    profile: Profile, firmware: Firmware
) -> None:
    folder = BUILD / "ready" / f"{profile}-{firmware}"
    seconds_until(READY, tree(profile), firmware, memory=MEMORY_MIB[profile], folder=folder)


def test_full_drives_what_the_ten_machines_have() -> None:
    table = imagereader.alias_table(tree(Profile.FULL) / "initrd.img")
    for name, devices in machines().items():
        missing = [row.device.ids for row in covered(devices, table) if row.verdict is Verdict.MISSING]
        assert (name, missing) == (name, [])
    # What the fast test knows of this image is still so: else cut it out anew.
    assert met(table) == TABLE.read_text()


def test_a_pack_is_in_the_image_and_its_device_is_known(tmp_path: Path) -> None:
    with stages(Options(BUILD / "cache", Profile.VM)) as made:
        debian = made.packages()
        client = made.client(debian)
    version = kernel_version(debian)
    ours = packinstall.own_module(debian / "usr/lib/modules" / version)
    source = tmp_path / "acme.ko"
    source.write_bytes(module("acme", f"{ours.vermagic} ", [f"alias={ALIAS}"]))
    wish = Wish(str(source), secure_boot=SecureBoot.OFF)
    pack = gather(tmp_path, wish, ours, suite="trixie", mirror=None, progress=lambda _: None)
    staging = tmp_path / "root"
    bootroot.assemble(
        staging, debian=debian, client=client, recipe=recipe(Profile.VM), packs=[pack], about={}
    )
    modules = staging / "usr/lib/modules" / version
    assert (modules / "updates/fleetcast/acme.ko").is_file()
    table = AliasTable(parse_aliases((modules / "modules.alias").read_text()))
    assert table.modules("pci:v00001234d00005678sv00000000sd00000000bc02sc00i00") == ("acme",)

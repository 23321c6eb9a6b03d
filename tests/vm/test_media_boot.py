"""The boot medium, really built, really booted: drivers, libraries and the client are all in it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.errors import NetworkFailed, Refused
from castmedia.pxe import build
from castmedia.recipe import Profile
from castmedia.stages import Options

pytestmark = pytest.mark.vm

BUILD = Path(__file__).resolve().parents[2] / "build"
BOOT_SECONDS = 300.0
SECOND_BUILD_SECONDS = 20.0
# What docs/media.md promises: memory it runs in, and bytes of kernel and boot image together.
MEMORY_MIB = {Profile.VM: 512, Profile.FULL: 1024}
MOST_LOADED = {Profile.VM: 32_000_000, Profile.FULL: 75_000_000}
# Device model of QEMU: driver that Linux must find for it.
NICS = {
    Profile.VM: {
        "virtio-net-pci": "virtio_net",
        "e1000": "e1000",
        "e1000e": "e1000e",
        "rtl8139": "8139cp",
        "vmxnet3": "vmxnet3",
        "pcnet": "pcnet32",
    }
}
NICS[Profile.FULL] = NICS[Profile.VM] | {
    "i82559er": "e100",
    "ne2k_pci": "ne2k-pci",
    "tulip": "tulip",
}
DISKS = {"virtio-blk-pci": "virtio_blk", "nvme": "nvme", "ide-hd": "sd", "usb-storage": "sd"}


def tree(profile: Profile) -> Path:
    output = BUILD / f"media-{profile}"
    build(output, Options(BUILD / "cache", profile))
    return output


def machine(tmp_path: Path, profile: Profile) -> list[str]:
    command = ["-nic", "none", "-device", "qemu-xhci"]
    for model in NICS[profile]:
        command += ["-device", f"{model},romfile="]
    for number, model in enumerate(DISKS):
        disk = tmp_path / f"{model}.raw"
        disk.touch()
        os.truncate(disk, 16 << 20)
        command += ["-drive", f"if=none,id=d{number},format=raw,file={disk}"]
        command += ["-device", f"{model},drive=d{number},serial=S{number}"]
    return command


@pytest.mark.parametrize("profile", list(Profile))
def test_the_boot_image_proves_itself_on_a_machine_full_of_hardware(
    tmp_path: Path, profile: Profile
) -> None:
    made = tree(profile)
    loaded = sum((made / name).stat().st_size for name in ("vmlinuz", "initrd.img"))
    assert loaded <= MOST_LOADED[profile]
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max,cx16=off"]
    command += [
        "-m",
        str(MEMORY_MIB[profile]),
        "-display",
        "none",
        "-serial",
        "stdio",
        "-monitor",
        "none",
    ]
    command += ["-no-reboot", "-kernel", str(made / "vmlinuz"), "-initrd", str(made / "initrd.img")]
    command += ["-append", "console=ttyS0 quiet fleetcast.selftest", *machine(tmp_path, profile)]
    said = run.run(command, timeout=BOOT_SECONDS).decode(errors="replace")
    found = re.search(r"FLEETCAST SELF-TEST OK: (\d+) modules; disks (.*); NICs (.*)", said)
    assert found, said[-3000:]
    assert int(found[1]) > len(list((BUILD.parent / "client/castclient").glob("*.py")))
    disks = [name.partition(":")[2] for name in found[2].split()]
    assert sorted(disks) == sorted(DISKS.values())
    nics = [name.partition(":")[2] for name in found[3].split()]
    assert sorted(nics) == sorted(NICS[profile].values())


def test_a_second_build_takes_seconds_and_changes_nothing() -> None:
    made = tree(Profile.VM)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in made.iterdir()}
    began = time.monotonic()
    tree(Profile.VM)
    assert time.monotonic() - began < SECOND_BUILD_SECONDS
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in made.iterdir()} == before


def test_the_same_inputs_give_the_same_boot_image(tmp_path: Path) -> None:
    made = tree(Profile.VM)
    cache = tmp_path / "cache"
    cache.mkdir()
    for stage in (BUILD / "cache").iterdir():
        if stage.name.startswith(("packages-", "client-", "wheel-")):
            (cache / stage.name).symlink_to(stage)
    again = build(tmp_path / "tree", Options(cache, Profile.VM))
    assert (tmp_path / "tree/initrd.img").read_bytes() == (made / "initrd.img").read_bytes()
    assert set(again) == {"kernel", "initrd", "shim", "grub", "ipxe"}


def test_an_unreachable_mirror_leaves_nothing_half_made(tmp_path: Path) -> None:
    missing = f"file://{tmp_path}/no-such-mirror"
    with pytest.raises(NetworkFailed, match="packages cannot be fetched"):
        build(tmp_path / "tree", Options(tmp_path / "cache", Profile.VM, missing))
    assert not (tmp_path / "tree").exists()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["lock"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("years of work")
    with pytest.raises(Refused, match="no PXE tree"):
        build(tmp_path, Options(tmp_path / "cache", Profile.VM))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.odt"]

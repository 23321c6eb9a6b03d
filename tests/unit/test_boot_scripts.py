"""What the loaders are told to do, and the archive that carries the trust."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from castcore.boot import BootImage, BootPlace, ClientBoot, ImageForm, scripts, trust_archive
from castcore.errors import Refused

PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
URL = "https://10.0.0.1:8443"
MAC = "52:54:00:00:00:07"
INITRDS = ("boot/files/bb/trust.cpio", "boot/files/cc/initrd.img")
CLIENT = ClientBoot(PLACE, "boot/files/aa/vmlinuz", INITRDS, URL, "console=ttyS0  quiet")


def unpack(data: bytes) -> dict[str, tuple[int, bytes]]:
    """An independent reader of newc: name -> (mode, content), in order."""
    stream = io.BytesIO(data)
    found: dict[str, tuple[int, bytes]] = {}
    while True:
        head = stream.read(110)
        assert head[:6] == b"070701"
        fields = [int(head[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
        name = stream.read(fields[11])[:-1].decode()
        stream.seek(-stream.tell() % 4, io.SEEK_CUR)
        content = stream.read(fields[6])
        stream.seek(-stream.tell() % 4, io.SEEK_CUR)
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], content)


def test_grub_asks_for_the_machines_own_configuration_until_it_gives_up() -> None:
    lines = [line.strip() for line in scripts.grub_entry(PLACE).splitlines()]
    assert "source (http,10.0.0.1:8080)/boot/machine/$net_default_mac/$machine/grub.cfg" in lines
    assert "smbios --type 1 --get-uuid 8 --set machine" in lines
    assert "for attempt in 1 2 3; do" in lines
    # Never an exit: it returns success, and UEFI firmware stops in its boot menu.
    assert lines[-1] == "reboot"
    assert scripts.grub_local().splitlines()[-1] == "reboot"
    assert "exit" not in "\n".join(lines) + scripts.grub_local()


def test_grub_loads_the_kernel_with_both_initrds_by_their_hashes() -> None:
    text = scripts.grub_client(CLIENT, MAC)
    base = "(http,10.0.0.1:8080)/boot/files"
    wanted = f"fleetcast.server={URL} fleetcast.bootif={MAC} console=ttyS0 quiet;"
    assert f"linux {base}/aa/vmlinuz {wanted}" in text
    assert f"initrd {base}/bb/trust.cpio {base}/cc/initrd.img;" in text


def test_grub_goes_by_its_processor_where_there_are_files_for_arm64() -> None:
    arm64 = replace(CLIENT, kernel="boot/files/dd/vmlinuz")
    lines = scripts.grub_client(replace(CLIENT, arm64=arm64), MAC).splitlines()
    at = {word: n for n, line in enumerate(lines) for word in ("/dd/", "/aa/", "else") if word in line}
    assert 'if [ "$grub_cpu" = "arm64" ]; then' in lines
    assert at["/dd/"] < at["else"] < at["/aa/"]
    assert "grub_cpu" not in scripts.grub_client(CLIENT, MAC)


def test_ipxe_asks_for_the_machines_own_script() -> None:
    lines = scripts.ipxe_entry(PLACE).splitlines()
    assert lines[0] == "#!ipxe"
    own = "http://10.0.0.1:8080/boot/machine/${netX/mac:hexhyp}/${uuid}/${platform}.ipxe"
    assert f"chain --replace {own} || goto failed" in lines
    assert lines[-1] == "exit 1"


def test_ipxe_loads_the_same_on_bios_and_uefi() -> None:
    lines = scripts.ipxe_client(CLIENT, MAC).splitlines()
    assert lines[0] == "#!ipxe"
    kernel = next(line for line in lines if line.startswith("kernel "))
    url = "http://10.0.0.1:8080/boot/files"
    assert f"{url}/aa/vmlinuz initrd=trust.cpio initrd=initrd.img " in kernel
    assert f"fleetcast.bootif={MAC} console=ttyS0 quiet ||" in kernel
    assert [line.split()[1] for line in lines if line.startswith("initrd ")] == [
        f"{url}/bb/trust.cpio",
        f"{url}/cc/initrd.img",
    ]


@pytest.mark.parametrize(
    ("form", "drive"), [(ImageForm.FLOPPY, "0x00"), (ImageForm.DISK, "0x80"), (ImageForm.ISO, "0x80")]
)
def test_ipxe_boots_an_image_as_the_drive_it_is(form: ImageForm, drive: str) -> None:
    image = BootImage("dos.img", 1, 1, form)
    url = "http://10.0.0.1:8080/boot/once/0123/dos.img"
    wanted = f"sanboot --no-describe --drive {drive} {url} || goto failed"
    lines = scripts.ipxe_image(PLACE, "0123", image).splitlines()
    assert wanted in lines
    # It gives up: the machine boots its next device then.
    assert lines[-1] == "exit 1"


def test_a_skipping_script_fails_so_that_firmware_goes_on() -> None:
    assert scripts.local_script().splitlines()[-1] == "exit 1"


@pytest.mark.parametrize(
    "bad", ["a;b", "$x", "a\nb", 'a"b', "a|b", "a&b", "a\\b", "{a}", "a'b", "\u00e9"]
)
def test_kernel_arguments_that_a_loader_would_interpret_are_refused(bad: str) -> None:
    with pytest.raises(Refused, match="extra kernel arguments"):
        scripts.grub_client(replace(CLIENT, extra=bad), MAC)
    with pytest.raises(Refused, match="extra kernel arguments"):
        scripts.ipxe_client(replace(CLIENT, extra=bad), MAC)


def test_the_trust_archive_holds_key_and_url_after_their_directories() -> None:
    found = unpack(trust_archive(b"\xaa" * 32, URL))
    assert list(found) == ["etc", "etc/fleetcast", "etc/fleetcast/trust.json"]
    assert stat.S_ISDIR(found["etc"][0])
    mode, content = found["etc/fleetcast/trust.json"]
    assert stat.S_ISREG(mode)
    assert json.loads(content) == {"key": "aa" * 32, "url": URL}


def test_the_archive_can_stand_before_another_one() -> None:
    assert len(trust_archive(b"\xaa" * 32, URL)) % 512 == 0

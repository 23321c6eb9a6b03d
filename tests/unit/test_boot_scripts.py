"""What the loaders are told to do, and the archive that carries the trust."""

from __future__ import annotations

import io
import json
import stat
from ipaddress import IPv4Address

import pytest
from castcore.boot import BootPlace, grub_config, ipxe_script, local_script, trust_archive
from castcore.errors import Refused

PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
URL = "https://10.0.0.1:8443"


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


def test_grub_loads_the_kernel_with_both_initrds_and_its_own_mac() -> None:
    text = grub_config(PLACE, URL, "console=ttyS0  quiet")
    base = "(http,10.0.0.1:8080)/boot/"
    wanted = f"fleetcast.server={URL} fleetcast.bootif=$net_default_mac console=ttyS0 quiet;"
    assert f"linux {base}vmlinuz {wanted}" in text
    assert f"initrd {base}trust.cpio {base}initrd.img;" in text
    assert text.rstrip().endswith("exit")


def test_ipxe_loads_the_same_on_bios_and_uefi() -> None:
    lines = ipxe_script(PLACE, URL, "quiet").splitlines()
    assert lines[0] == "#!ipxe"
    kernel = next(line for line in lines if line.startswith("kernel "))
    assert "http://10.0.0.1:8080/boot/vmlinuz initrd=trust.cpio initrd=initrd.img " in kernel
    assert "fleetcast.bootif=${netX/mac} quiet ||" in kernel
    assert [line.split()[1] for line in lines if line.startswith("initrd ")] == [
        "http://10.0.0.1:8080/boot/trust.cpio",
        "http://10.0.0.1:8080/boot/initrd.img",
    ]


def test_a_skipping_script_fails_so_that_firmware_goes_on() -> None:
    assert local_script().splitlines()[-1] == "exit 1"


@pytest.mark.parametrize(
    "bad", ["a;b", "$x", "a\nb", 'a"b', "a|b", "a&b", "a\\b", "{a}", "a'b", "\u00e9"]
)
def test_kernel_arguments_that_a_loader_would_interpret_are_refused(bad: str) -> None:
    with pytest.raises(Refused, match="extra kernel arguments"):
        grub_config(PLACE, URL, bad)
    with pytest.raises(Refused, match="extra kernel arguments"):
        ipxe_script(PLACE, URL, bad)


def test_the_trust_archive_holds_key_and_url_after_their_directories() -> None:
    found = unpack(trust_archive(b"\xaa" * 32, URL))
    assert list(found) == ["etc", "etc/fleetcast", "etc/fleetcast/trust.json"]
    assert stat.S_ISDIR(found["etc"][0])
    mode, content = found["etc/fleetcast/trust.json"]
    assert stat.S_ISREG(mode)
    assert json.loads(content) == {"key": "aa" * 32, "url": URL}


def test_the_archive_can_stand_before_another_one() -> None:
    assert len(trust_archive(b"\xaa" * 32, URL)) % 512 == 0

"""TFTP requests, HTTP ranges, boot file names and the boot tree: what is asked and what is given."""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from castcore.boot import BootPlace, bootnames
from castcore.boot.bootnames import MachineFile, MachineName
from castcore.boot.tftprequest import Opcode, TftpRequest, parse_request
from castcore.errors import BadImage, BadPacket, NotFound
from castcore.trust import digest
from castserver.services import bootfiles
from castserver.services.boothttp import Span, span_of
from castserver.services.conditions import has_it, range_counts

from tests.support.boottrees import ROLES, tree

PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)


def test_a_request_with_options() -> None:
    asked = parse_request(b"\0\1/shimx64.efi\0octet\0tsize\x000\0BLKSIZE\x001428\0timeout\x005\0")
    assert asked == TftpRequest(Opcode.READ, "/shimx64.efi", "octet", 1428, wants_size=True)
    assert asked.granted() == {"blksize": 1428, "tsize": 0}


def test_of_an_option_named_twice_the_last_counts() -> None:
    asked = parse_request(b"\0\1x\0octet\0blksize\x00512\0blksize\x001024\0")
    assert asked.granted() == {"blksize": 1024}


def test_only_options_that_were_asked_for_are_granted() -> None:
    assert parse_request(b"\0\1x\0octet\0").granted() == {}
    assert parse_request(b"\0\1x\0octet\0tsize\x000\0").granted() == {"tsize": 0}


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("8", 8),
        ("1468", 1468),
        ("65464", 1468),
        ("7", None),
        ("65465", None),
        ("-8", None),
        ("x", None),
        ("", None),
        ("\u00b2", None),
        ("99999999999", None),
    ],
)
def test_block_sizes(asked: str, granted: int | None) -> None:
    request = parse_request(b"\0\1x\0octet\0blksize\0" + asked.encode("latin-1") + b"\0")
    assert request.granted().get("blksize") == granted


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1",
        b"\0\1x",
        b"\0\1x\0",
        b"\0\1x\0octet",
        b"\0\1\0octet\0",
        b"\0\3\0\1data",
        b"\0\4\0\1\0",
        b"\0\1" + b"x" * 600 + b"\0octet\0",
    ],
)
def test_what_opens_no_transfer_is_a_bad_packet(data: bytes) -> None:
    with pytest.raises(BadPacket):
        parse_request(data)


@pytest.mark.parametrize(
    "name", ["grub//grub.cfg", "grub/grub.cfg", "/grub/grub.cfg", "//grub/grub.cfg", "\\grub\\grub.cfg"]
)
def test_loaders_spell_names_differently(name: str) -> None:
    assert bootnames.canonical(name) == bootnames.GRUB_CONFIG


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", Span(0, 100, partial=False)),
        ("bytes=0-9", Span(0, 10, partial=True)),
        ("bytes=90-", Span(90, 100, partial=True)),
        ("bytes=90-1000", Span(90, 100, partial=True)),
        ("bytes=-10", Span(90, 100, partial=True)),
        ("bytes=-1000", Span(0, 100, partial=True)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=9-3", Span(0, 100, partial=False)),
        ("bytes=-", Span(0, 100, partial=False)),
        ("bytes=0-1,5-6", Span(0, 100, partial=False)),
        ("lines=1-2", Span(0, 100, partial=False)),
        ("bytes=\u00b2-", Span(0, 100, partial=False)),
    ],
)
def test_ranges(header: str, span: Span | None) -> None:
    assert span_of(header, 100) == span


def test_no_byte_of_an_empty_file_can_be_asked_for() -> None:
    assert span_of("bytes=0-", 0) is None
    assert span_of("bytes=-5", 0) is None
    assert span_of("", 0) == Span(0, 0, partial=False)


def load(folder: Path) -> bootfiles.BootFiles:
    url = "https://10.0.0.1:8443"
    return bootfiles.load(folder, PLACE, server_url=url, server_key=b"k", extra="").files


ARM64 = {"kernel-arm64": b"ak", "initrd-arm64": b"ai", "shim-arm64": b"as", "grub-arm64": b"ag"}


def test_a_tree_may_hold_files_for_arm64(tmp_path: Path) -> None:
    plain = load(tree(tmp_path))
    files = load(tree(tmp_path, ARM64))
    assert set(files.tftp) - set(plain.tftp) == {"shimaa64.efi", "grubaa64.efi"}
    more = {name for name in set(files.http) - set(plain.http) if not name.startswith("boot/files/")}
    loaders = {"boot/shimaa64.efi", "boot/grubaa64.efi"}
    assert more == {"boot/arm64/vmlinuz", "boot/arm64/initrd.img", *loaders}
    assert files.tftp["shimaa64.efi"].open().read() == b"as"
    hashed = bootnames.by_hash(bootnames.KERNEL_ARM64, digest(b"ak").hex())
    assert files.http[hashed].open().read() == b"ak"
    assert bootnames.is_kernel(hashed)


def test_settings_of_a_tree_are_the_last_initrd(tmp_path: Path) -> None:
    tree(tmp_path, ARM64 | {"settings": b"ss"})
    url = "https://10.0.0.1:8443"
    loaded = bootfiles.load(tmp_path, PLACE, server_url=url, server_key=b"k", extra="")
    assert loaded.client.arm64 is not None
    for client in (loaded.client, loaded.client.arm64):
        names = [name.rpartition("/")[2] for name in client.initrds]
        assert names == ["trust.cpio", "initrd.img", "settings.cpio"]
        assert loaded.files.http[client.initrds[-1]].open().read() == b"ss"


@pytest.mark.parametrize("role", ARM64)
def test_a_tree_with_some_of_the_arm64_files_is_incomplete(tmp_path: Path, role: str) -> None:
    some = {name: data for name, data in ARM64.items() if name != role}
    with pytest.raises(BadImage, match=role):
        load(tree(tmp_path, some))


def test_the_boot_files_are_a_closed_set(tmp_path: Path) -> None:
    files = load(tree(tmp_path))
    assert set(files.tftp) == {"shimx64.efi", "grubx64.efi", "undionly.kpxe", "grub/grub.cfg"}
    assert files.http["boot/initrd.img"].open().read() == b"ii"
    assert bootnames.NOTHING not in files.http
    assert files.tftp["grub/grub.cfg"].open().read() == files.http["grub/grub.cfg"].open().read()
    for file in (*files.tftp.values(), *files.http.values()):
        assert len(file.open().read()) == file.size


def test_without_a_tree_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load(tmp_path / "none")
    assert "media-builder pxe" in caught.value.hint


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": 3}']
)
def test_a_damaged_tree_is_named(tmp_path: Path, content: str) -> None:
    (tree(tmp_path) / "tree.json").write_text(content)
    with pytest.raises(BadImage, match="boot tree"):
        load(tmp_path)


def test_a_role_or_a_byte_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="has no grub, initrd, ipxe, kernel, shim"):
        load(tree(tmp_path, files={}))
    tree(tmp_path)
    (tmp_path / "kernel").write_bytes(b"")
    with pytest.raises(BadImage, match="size differs"):
        load(tmp_path)
    (tmp_path / "kernel").write_bytes(b"K")
    with pytest.raises(BadImage, match="content differs"):
        load(tmp_path)
    (tmp_path / "kernel").unlink()
    with pytest.raises(BadImage, match="has no kernel"):
        load(tmp_path)


def test_large_files_go_by_their_hash_and_may_be_kept_for_ever(tmp_path: Path) -> None:
    files = load(tree(tmp_path))
    for role, name in (("kernel", "vmlinuz"), ("initrd", "initrd.img")):
        found = files.http[f"boot/files/{digest(ROLES[role]).hex()}/{name}"]
        assert found.open().read() == ROLES[role]
        assert found.caching is bootfiles.Caching.FOR_EVER
        plain = files.http[f"boot/{name}"]
        assert (plain.tag, plain.caching) == (found.tag, bootfiles.Caching.ASK_AGAIN)


def test_a_tree_that_is_replaced_is_served_on_as_it_was(tmp_path: Path) -> None:
    files = load(tree(tmp_path))
    (tmp_path / "new").write_bytes(b"another kernel")
    (tmp_path / "new").rename(tmp_path / "kernel")
    (tmp_path / "initrd").unlink()
    assert files.http["boot/vmlinuz"].open().read() == b"k"
    assert files.http["boot/initrd.img"].open().read() == b"ii"
    files.close()


def test_a_file_that_is_changed_in_place_is_refused_in_the_middle_too(tmp_path: Path) -> None:
    files = load(tree(tmp_path, {"kernel": b"old " * 1000}))
    stream = files.http["boot/vmlinuz"].open()
    assert stream.read(4) == b"old "
    with (tmp_path / "kernel").open("r+b") as kernel:
        kernel.write(b"new ")
    os.utime(tmp_path / "kernel", ns=(1, 1))
    with pytest.raises(OSError, match="changed"):
        stream.read(4)
    with pytest.raises(OSError, match="changed"):
        files.http["boot/vmlinuz"].open()
    assert files.http["boot/initrd.img"].open().read() == b"ii"


@pytest.mark.parametrize(
    ("if_none_match", "held"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", W/"y" ,"abc"', True),
        ("*", True),
        ("", False),
        ("abc", False),
        ('"abcd"', False),
        ('"ab', False),
    ],
)
def test_who_has_the_file_already(if_none_match: str, *, held: bool) -> None:
    assert has_it(if_none_match, "abc") is held
    assert not has_it(if_none_match, "")


def test_a_range_counts_only_for_who_has_parts_of_the_same() -> None:
    assert range_counts("", "abc")
    assert range_counts('"abc"', "abc")
    for other in ('W/"abc"', '"x"', "Tue, 15 Nov 1994 12:45:26 GMT", '"x", "abc"', "*"):
        assert not range_counts(other, "abc")
    assert not range_counts('""', "")


def test_people_are_told_names_without_hashes() -> None:
    assert bootnames.shown("boot/boot.ipxe") == "boot/boot.ipxe"
    assert bootnames.shown(bootnames.by_hash(bootnames.KERNEL, "ab" * 32)) == "vmlinuz"
    assert bootnames.shown(bootnames.once_name("0123456789abcdef", "x.iso")) == "x.iso"


MAC, UUID = "52:54:00:fc:00:01", "f1ee7ca5-7000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (f"boot/machine/{MAC}/{UUID}/image", MachineName(MAC, UUID, MachineFile.IMAGE)),
        (f"boot/machine/{MAC}/grub.cfg", MachineName(MAC, "", MachineFile.GRUB)),
        (
            f"boot/machine/52-54-00-FC-00-01/{UUID.upper()}/efi.ipxe",
            MachineName(MAC, UUID, MachineFile.IPXE_UEFI),
        ),
        ("boot/machine", None),
        ("boot/machine/image", None),
        (f"boot/machine/{MAC}", None),
        (f"boot/machine/{MAC}/{UUID}", None),
        (f"boot/machine/{MAC}/shim", None),
        (f"boot/machine/{MAC}/{UUID}/{UUID}/image", None),
        (f"boot/machine/{MAC}0/image", None),
        (f"boot/machine/{MAC[:-1]}/image", None),
        (f"boot/machine/{MAC}/none/image", None),
        (f"boot/machine/../{UUID}/image", None),
        (f"boot/machine/\u0665{MAC[1:]}/image", None),
    ],
)
def test_names_of_machines_own_files(name: str, wanted: MachineName | None) -> None:
    assert bootnames.machine_name(name) == wanted
    if wanted is not None:
        assert bootnames.machine_name(str(wanted)) == wanted


def test_an_order_is_known_by_its_number_alone() -> None:
    name = bootnames.once_name("0123456789abcdef", "x.iso")
    assert bootnames.order_of(name) == "0123456789abcdef"
    for bad in ("boot/once/../x.iso", "boot/once", "boot/once/01/x", "boot/once/0123456789ABCDEF/x"):
        assert bootnames.order_of(bad) == ""

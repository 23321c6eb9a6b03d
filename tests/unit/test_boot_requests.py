"""TFTP requests, HTTP ranges, boot file names and the boot tree: what is asked and what is given."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from castcore.boot import BootPlace, bootnames
from castcore.boot.tftprequest import Opcode, TftpRequest, parse_request
from castcore.errors import BadImage, BadPacket, NotFound
from castserver.services import bootfiles
from castserver.services.boothttp import Span, span_of

PLACE = BootPlace(IPv4Address("10.0.0.1"), 8080)
ROLES = {"kernel": b"k", "initrd": b"ii", "shim": b"s", "grub": b"g", "ipxe": b"u"}


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


def tree(folder: Path, **changes: object) -> Path:
    files = {}
    for role, data in ROLES.items():
        (folder / role).write_bytes(data)
        files[role] = {"name": role, "size": len(data), "blake3": ""}
    (folder / "tree.json").write_text(json.dumps({"format": 1, "files": files} | changes))
    return folder


def load(folder: Path) -> bootfiles.BootFiles:
    return bootfiles.load(folder, PLACE, server_url="https://10.0.0.1:8443", server_key=b"k", extra="")


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

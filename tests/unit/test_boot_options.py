"""DHCP options on the wire: overload, long options, damaged fields; and messages there and back."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from castcore.boot.message import Architecture, DhcpReply, DhcpRequest, MessageType
from castcore.boot.options import Option, encode_options, parse_options
from castcore.edge.net.dhcppacket import decode, encode
from castcore.errors import BadPacket
from scapy.layers.dhcp import BOOTP, DHCP

MAC = "52:54:00:00:00:01"


def packet(options: bytes, **header: Any) -> bytes:
    fields: dict[str, Any] = {"op": 1, "xid": 7, "chaddr": bytes.fromhex(MAC.replace(":", ""))}
    return bytes(BOOTP(**fields | header, options=b"\x63\x82\x53\x63")) + options


def test_a_long_option_is_joined_from_its_pieces() -> None:
    assert parse_options(bytes((43, 2)) + b"ab" + bytes((1, 1, 9, 43, 1)) + b"c\xff") == {
        43: b"abc",
        1: b"\t",
    }


def test_a_long_value_is_written_in_pieces_that_are_read_as_one() -> None:
    value = bytes(range(256)) * 3
    field = encode_options([(Option.VENDOR_SPECIFIC, value)])
    assert field.count(bytes((43, 255))) >= 3
    assert parse_options(field) == {43: value}


def test_overload_takes_file_before_sname() -> None:
    field = bytes((52, 1, 3, 77, 1)) + b"a\xff"
    found = parse_options(field, file=bytes((77, 1)) + b"b\xff", sname=bytes((77, 1)) + b"c\xff")
    assert found == {77: b"abc"}


@pytest.mark.parametrize("overload", [0, 1, 2])
def test_fields_that_are_not_overloaded_are_not_options(overload: int) -> None:
    field = bytes((52, 1, overload, 255))
    found = parse_options(field, file=bytes((1, 1, 1, 255)), sname=bytes((2, 1, 2, 255)))
    assert found == {0: {}, 1: {1: b"\1"}, 2: {2: b"\2"}}[overload]


@pytest.mark.parametrize("field", [b"\x35", b"\x35\x02\x01", b"\x34\x01\x07", b"\x34\x00\xff"])
def test_damaged_options_are_bad_packets(field: bytes) -> None:
    with pytest.raises(BadPacket):
        parse_options(field)


def test_a_field_without_end_is_read() -> None:
    assert parse_options(b"\0\x35\x01\x01") == {53: b"\1"}


def test_short_fields_are_padded_for_relays() -> None:
    assert len(encode_options([(53, b"\1")])) == 60


def test_a_request_is_read_as_its_firmware_meant_it() -> None:
    options = encode_options(
        [
            (53, b"\1"),
            (60, b"PXEClient:Arch:00007:UNDI:003016"),
            (93, b"\0\x07\0\x09"),
            (97, b"\0" + bytes(range(1, 17))),
            (50, IPv4Address("10.0.0.9").packed),
        ]
    )
    request = decode(packet(options, flags=0x8000, secs=4, giaddr="10.9.0.1"))
    assert request.message_type is MessageType.DISCOVER
    assert (request.mac, request.xid, request.secs, request.broadcast) == (MAC, 7, 4, True)
    assert request.architecture == Architecture.UEFI_X64
    assert request.requested == IPv4Address("10.0.0.9")
    assert request.giaddr == IPv4Address("10.9.0.1")
    assert request.uuid == "04030201-0605-0807-090a-0b0c0d0e0f10"


@pytest.mark.parametrize(
    ("vendor_class", "architecture"),
    [
        (b"PXEClient:Arch:00000:UNDI:002001", 0),
        (b"PXEClient:Arch:00009", 9),
        (b"PXEClient", None),
        (b"PXEClient:Arch:x", None),
        (b"PXEClient:Arch:\xb2", None),
    ],
)
def test_the_architecture_may_stand_in_the_vendor_class_only(
    vendor_class: bytes, architecture: int | None
) -> None:
    request = decode(packet(encode_options([(53, b"\1"), (60, vendor_class)])))
    assert request.architecture == architecture


@pytest.mark.parametrize(
    "machine_id", [b"", b"\0short", b"\1" + bytes(16), bytes(17), b"\0" + b"\xff" * 16]
)
def test_an_odd_machine_id_counts_as_none(machine_id: bytes) -> None:
    request = decode(packet(encode_options([(53, b"\1"), (97, machine_id)])))
    assert request.machine_id == b""
    assert request.uuid == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(239),
        bytes(300),
        packet(encode_options([])),
        packet(encode_options([(53, b"\x63")])),
        packet(encode_options([(53, b"\1"), (50, b"\1\2\3")])),
        packet(encode_options([(53, b"\1")]), op=2),
        packet(encode_options([(53, b"\1")]), hlen=16),
        packet(encode_options([(53, b"\1")]), htype=6),
        packet(encode_options([(53, b"\1")]), chaddr=bytes(16)),
        packet(encode_options([(53, b"\1")]), chaddr=b"\xff" * 6),
        packet(encode_options([(53, b"\1")])) + bytes(1500),
        # Where an answer would go to a group, to everybody, or to ourselves.
        packet(encode_options([(53, b"\1")]), giaddr="239.1.2.3"),
        packet(encode_options([(53, b"\1")]), giaddr="255.255.255.255"),
        packet(encode_options([(53, b"\1")]), giaddr="127.0.0.1"),
        packet(encode_options([(53, b"\1")]), ciaddr="224.0.0.1"),
    ],
)
def test_what_is_no_request_is_a_bad_packet(data: bytes) -> None:
    with pytest.raises(BadPacket):
        decode(data)


def test_a_reply_reads_back_with_an_independent_reader() -> None:
    reply = DhcpReply(
        MessageType.OFFER,
        xid=9,
        mac=MAC,
        broadcast=True,
        siaddr=IPv4Address("10.0.0.1"),
        giaddr=IPv4Address("10.9.0.1"),
        file="shimx64.efi",
        options=((54, bytes((10, 0, 0, 1))), (60, b"PXEClient")),
    )
    read = BOOTP(encode(reply))
    assert (read.op, read.xid, int(read.flags)) == (2, 9, 0x8000)
    assert (read.yiaddr, read.siaddr, read.giaddr) == ("0.0.0.0", "10.0.0.1", "10.9.0.1")
    assert read.file.rstrip(b"\0") == b"shimx64.efi"
    options: dict[str, Any] = dict(o for o in read[DHCP].options if isinstance(o, tuple))
    assert options["message-type"] == 2
    assert options["server_id"] == "10.0.0.1"
    assert options["vendor_class_id"] == b"PXEClient"


def test_a_file_name_longer_than_its_field_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(DhcpReply(MessageType.OFFER, xid=1, mac=MAC, file="x" * 128))


def test_a_request_is_ipxe_by_user_class_or_by_its_own_option() -> None:
    plain = DhcpRequest(MessageType.DISCOVER, xid=1, mac=MAC)
    assert not plain.is_ipxe
    assert DhcpRequest(MessageType.DISCOVER, xid=1, mac=MAC, user_class=b"\4iPXE").is_ipxe
    assert DhcpRequest(MessageType.DISCOVER, xid=1, mac=MAC, ipxe=b"\x13\1\1").is_ipxe

"""The frames that ask for servers, and what is read from those that answer."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from castcore.boot import (
    BootDecision,
    BootPlace,
    DhcpReply,
    Everyone,
    FoundServer,
    LeaseTable,
    MessageType,
    Pool,
    boot_server_request,
    dhcp_decide,
    discover,
    hearsay,
    proxy_decide,
)
from castcore.boot.frames import Datagram, encode_frame, parse_frame
from castcore.boot.options import Option
from castcore.edge.net.dhcppacket import decode, encode
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

OURS, THEIRS = "52:54:00:00:00:01", "52:54:00:00:00:09"
SITE = IPv4Address("10.0.0.9")
TO_US = Datagram(THEIRS, "ff:ff:ff:ff:ff:ff", str(SITE), "255.255.255.255", 67, 68)


def said(
    kind: MessageType, *options: tuple[int, bytes], yiaddr: str = "0.0.0.0", file: str = ""
) -> bytes:
    reply = DhcpReply(
        kind, 7, OURS, yiaddr=IPv4Address(yiaddr), file=file, options=((54, SITE.packed), *options)
    )
    return encode_frame(TO_US, encode(reply))


def test_a_discover_is_what_a_server_expects() -> None:
    frame = discover(OURS, 7, pxe=False)
    datagram, payload = parse_frame(frame)
    assert (datagram.address, datagram.port, datagram.source) == ("255.255.255.255", 67, "0.0.0.0")
    request = decode(payload)
    assert (request.message_type, request.mac, request.xid) == (MessageType.DISCOVER, OURS, 7)
    assert request.broadcast
    assert not request.vendor_class
    pxe = decode(parse_frame(discover(OURS, 8, pxe=True))[1])
    assert (pxe.vendor_class, pxe.architecture) == ("PXEClient:Arch:00000:UNDI:002001", 0)
    assert pxe.uuid


def test_the_sums_of_a_frame_are_right() -> None:
    for frame in (discover(OURS, 7, pxe=True), discover(OURS, 7, pxe=True) + b"x"):
        read = Ether(frame)
        assert (read[IP].len, read[UDP].len) == (20 + read[UDP].len, read[UDP].len)
        shown = read[IP].chksum, read[UDP].chksum
        del read[IP].chksum, read[UDP].chksum
        made = Ether(bytes(read))
        assert shown == (made[IP].chksum, made[UDP].chksum)


def test_port_4011_is_asked_with_our_address() -> None:
    server = FoundServer(str(SITE), THEIRS, "")
    datagram, payload = parse_frame(boot_server_request(OURS, "10.0.0.1", 9, server))
    assert (datagram.mac, datagram.address, datagram.port) == (THEIRS, str(SITE), 4011)
    request = decode(payload)
    assert (request.message_type, str(request.ciaddr)) == (MessageType.REQUEST, "10.0.0.1")


@pytest.mark.parametrize(
    ("frame", "pxe", "dhcp"),
    [
        (said(MessageType.OFFER, yiaddr="10.0.0.50"), False, True),
        (said(MessageType.OFFER, yiaddr="10.0.0.50", file="pxelinux.0"), True, True),
        (said(MessageType.OFFER, (Option.BOOT_FILE, b"x"), yiaddr="10.0.0.50"), True, True),
        (said(MessageType.OFFER, (Option.VENDOR_CLASS, b"PXEClient")), True, False),
        (said(MessageType.OFFER, (Option.VENDOR_CLASS, b"HTTPClient")), True, False),
        (said(MessageType.ACK, (Option.VENDOR_CLASS, b"PXEClient")), True, False),
        (said(MessageType.ACK), False, True),
        (said(MessageType.ACK, yiaddr="10.0.0.50"), False, True),
        (said(MessageType.NAK), False, True),
    ],
)
def test_what_an_answer_tells(frame: bytes, pxe: bool, dhcp: bool) -> None:
    heard = hearsay(frame)
    assert heard is not None
    assert heard.server == FoundServer(str(SITE), THEIRS, "", pxe=pxe, dhcp=dhcp)
    assert (heard.xid, heard.client) == (7, OURS)


def test_a_request_names_the_server_it_chose() -> None:
    payload = bytearray(parse_frame(said(MessageType.REQUEST))[1])
    payload[0] = 1
    to_server = Datagram(OURS, "ff:ff:ff:ff:ff:ff", "0.0.0.0", "255.255.255.255", 68, 67)
    heard = hearsay(encode_frame(to_server, bytes(payload)))
    assert heard is not None
    assert heard.server == FoundServer(str(SITE), "", "")
    assert hearsay(discover(OURS, 7, pxe=True)) is None
    payload[24:28] = IPv4Address("10.9.0.254").packed
    assert hearsay(encode_frame(to_server, bytes(payload))) is None, "a relay's: of another network"


def test_a_name_is_safe_to_print() -> None:
    name = (Option.TFTP_SERVER_NAME, b"\x1b[2Jsite\xff" + b"x" * 100)
    heard = hearsay(said(MessageType.OFFER, name, yiaddr="10.0.0.50"))
    assert heard is not None
    assert heard.server.name.startswith("?[2Jsite")
    assert len(heard.server.name) == 64


@given(st.binary(max_size=700))
def test_noise_is_a_bad_packet(noise: bytes) -> None:
    with pytest.raises(BadPacket):
        hearsay(noise)


@given(st.data())
def test_damaged_answers_are_read_or_bad_packets(data: st.DataObject) -> None:
    frame = bytearray(said(MessageType.OFFER, (Option.VENDOR_CLASS, b"PXEClient"), yiaddr="10.0.0.50"))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    try:
        heard = hearsay(bytes(frame[:cut]))
    except BadPacket:
        return
    assert heard is None or heard.server.label.isprintable()


def test_a_fleetcast_server_that_looks_around_is_answered_and_not_told() -> None:
    _, payload = parse_frame(discover(OURS, 5, pxe=True))
    place, policy = BootPlace(SITE, 8080), Everyone(BootDecision.CLIENT)
    verdict = proxy_decide(decode(payload), 67, place, policy)
    assert verdict.reply is not None
    assert verdict.event is None
    table = LeaseTable(Pool.of(IPv4Interface(f"{SITE}/24")))
    leased = dhcp_decide(decode(payload), 67, place, policy, table, 0)
    assert leased.reply is not None
    assert leased.event is None
    assert not table.serves(OURS), "it is no machine that boots"

"""Whatever bytes arrive, the boot decisions either raise BadPacket or answer within the protocol."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Interface

from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    BootDecision,
    BootPlace,
    LeaseTable,
    MessageType,
    Pool,
    dhcp_decide,
    proxy_decide,
)
from castcore.boot.message import UNSPECIFIED
from castcore.boot.options import Option, encode_options, parse_options
from castcore.boot.tftprequest import parse_request
from castcore.edge.net.dhcppacket import COOKIE, decode, encode
from castcore.errors import BadPacket
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP

from tests.support.nearpackets import CODES, HEADER, near_packets

SERVER = IPv4Interface("10.0.0.1/24")
PLACE = BootPlace(SERVER.ip, 8080)


class Policy:
    def __init__(self, decision: BootDecision) -> None:
        self.decision = decision

    def decide(self, mac: str, uuid: str) -> BootDecision:
        del mac, uuid
        return self.decision


@given(near_packets() | st.binary(max_size=600), st.sampled_from(BootDecision), st.booleans())
@example(HEADER.ljust(236, b"\0") + COOKIE, BootDecision.CLIENT, True)
def test_no_packet_gets_more_than_the_protocol_allows(
    data: bytes, decision: BootDecision, on_4011: bool
) -> None:
    port = PXE_PORT if on_4011 else SERVER_PORT
    try:
        request = decode(data)
    except BadPacket:
        return
    proxied = proxy_decide(request, port, PLACE, Policy(decision)).reply
    if proxied is not None:
        assert proxied.yiaddr == UNSPECIFIED
        assert proxied.message_type in (MessageType.OFFER, MessageType.ACK)
        assert dict(proxied.options)[Option.VENDOR_CLASS] in (b"PXEClient", b"HTTPClient")
        assert (proxied.xid, proxied.mac, proxied.giaddr) == (request.xid, request.mac, request.giaddr)
        assert len(encode(proxied)) >= 300
    table = LeaseTable(Pool.of(SERVER))
    leased = dhcp_decide(request, port, PLACE, Policy(decision), table, 0.0).reply
    if leased is not None:
        assert leased.yiaddr == UNSPECIFIED or leased.yiaddr in table.pool
        assert dict(leased.options)[Option.SERVER_ID] == PLACE.address.packed
        encode(leased)


@given(near_packets())
@example(HEADER.ljust(236, b"\0") + COOKIE + b"\x35\1\1")
def test_scapy_reads_the_same_header(data: bytes) -> None:
    header = BOOTP(data[:236])
    try:
        request = decode(data)
    except BadPacket:
        return
    assert (header.op, header.htype, header.hlen) == (1, 1, 6)
    assert (request.xid, request.secs, request.broadcast) == (
        header.xid,
        header.secs,
        bool(int(header.flags) & 0x8000),
    )
    assert (str(request.ciaddr), str(request.giaddr)) == (header.ciaddr, header.giaddr)
    assert request.mac == bytes(header.chaddr)[:6].hex(":")


@given(st.dictionaries(CODES.filter(lambda code: code != 52), st.binary(max_size=700), max_size=6))
def test_options_read_back_as_they_were_written(options: dict[int, bytes]) -> None:
    assert parse_options(encode_options(options.items())) == options


@given(
    st.binary(max_size=600)
    | st.builds(
        lambda head, words: head + b"\0".join(words) + b"\0",
        st.sampled_from([b"\0\1", b"\0\2"]),
        st.lists(st.binary(max_size=20) | st.sampled_from([b"octet", b"blksize", b"1428"]), max_size=8),
    )
)
def test_a_tftp_request_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadPacket):
        request = parse_request(data)
        assert request.name
        assert 8 <= request.granted().get("blksize", 512) <= 1468

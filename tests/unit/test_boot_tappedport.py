"""What a tapped port reads of an IP packet, and the datagrams that it makes."""

from __future__ import annotations

import pytest
from castcore.edge.net.tappedport import payload, udp_datagram
from castcore.errors import BadPacket
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

SOURCE, TO = bytes((10, 0, 0, 1)), bytes((255, 255, 255, 255))


@pytest.mark.parametrize("data", [b"", b"x", b"even", b"\xff\xff\xff", bytes(1400)])
def test_a_datagram_is_as_an_independent_program_makes_it(data: bytes) -> None:
    other = bytes(IP(src="10.0.0.1", dst="255.255.255.255") / UDP(sport=67, dport=68) / Raw(data))
    assert udp_datagram(SOURCE, 67, TO, 68, data) == other[20:]


def test_a_checksum_of_zero_is_written_as_all_ones() -> None:
    base = udp_datagram(SOURCE, 67, TO, 68, bytes(2))
    made = udp_datagram(SOURCE, 67, TO, 68, base[6:8])
    assert made[6:8] == b"\xff\xff"


def test_a_packet_with_ip_options_and_padding_is_read() -> None:
    packet = bytes(IP(options=[b"\x94\x04\0\0"]) / UDP(sport=4000, dport=67) / Raw(b"hello"))
    assert payload(packet + b"padding", 67) == (4000, b"hello")


GOOD = bytes(IP() / UDP(sport=68, dport=67) / Raw(b"hello"))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        b"\x40" + GOOD[1:],
        b"\x4f" + GOOD[1:],
        GOOD[:27],
        GOOD[:-1],
        GOOD[:22] + b"\0\x45" + GOOD[24:],
        GOOD[:24] + b"\0\7" + GOOD[26:],
    ],
)
def test_what_is_no_datagram_to_the_port_is_a_bad_packet(packet: bytes) -> None:
    with pytest.raises(BadPacket):
        payload(packet, 67)

"""The sockets of a cast on a real link: what the kernel refuses is done without, and nothing is lost."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
from castcore.edge import run
from castcore.edge.cast.multicast import (
    DSCP_LOWER_EFFORT,
    SEND_BUFFER_MAX,
    SEND_BUFFER_PERIOD,
    GroupReceiver,
    GroupSender,
)
from castcore.edge.net.interface import find_interface

from tests.net.namespaces import Cable, cable, give_addresses, inside

pytestmark = pytest.mark.root

GROUPS = {socket.AF_INET: "239.193.9.9", socket.AF_INET6: "ff15::fc:909:1"}
PORT = 7100
SIZE = 1452
SO_NO_CHECK = 11
IP_RECVTTL = 12


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("socks") as made:
        give_addresses(made, "10.4.0", "fd04::")
        for space in (made.left, made.right):
            _await_link(space, made.wire)
        yield made


def _await_link(space: str, device: str) -> None:
    """IPv6 sends nothing before the kernel has taken notice of the carrier."""
    command = ["ip", "-n", space, "-6", "-j", "route", "show", "table", "local", "dev", device]
    for _ in range(100):
        routes = json.loads(run.run(command, timeout=10) or "[]")
        if any(r["dst"] == "ff00::/8" and "linkdown" not in r["flags"] for r in routes):
            return
        time.sleep(0.05)
    raise AssertionError(f"{device} never came up")


def ends(
    wire: Cable, family: socket.AddressFamily, *, ttl: int = 1, dscp: int = 0
) -> tuple[GroupSender, GroupReceiver]:
    group = GROUPS[family]

    def sender() -> GroupSender:
        interface = find_interface(wire.wire, family)
        return GroupSender(interface, group, PORT, ttl=ttl, loop=False, segment=SIZE, dscp=dscp)

    def receiver() -> GroupReceiver:
        return GroupReceiver(find_interface(wire.wire, family), group, PORT, segment=SIZE)

    there = inside(wire.right, receiver)
    assert isinstance(there, GroupReceiver)
    here = inside(wire.left, sender)
    assert isinstance(here, GroupSender)
    return here, there


def burst(count: int) -> memoryview:
    return memoryview(b"".join(bytes((n,)) * SIZE for n in range(count)))


def heard(receiver: GroupReceiver, size: int) -> bytes:
    """The data that arrives, at least ``size`` bytes of it or two seconds of waiting."""
    got, end = b"", time.monotonic() + 2
    while len(got) < size and time.monotonic() < end:
        got += bytes(receiver.receive().data)
        time.sleep(0.01)
    return got


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_bursts_arrive_whole_and_in_order(wire: Cable, family: socket.AddressFamily) -> None:
    sender, receiver = ends(wire, family)
    try:
        sender.burst(burst(45))
        assert heard(receiver, 45 * SIZE) == bytes(burst(45))
        assert sender.segmenting
    finally:
        sender.close()
        receiver.socket.close()


def test_what_waits_in_the_kernel_grows_with_what_is_sent(wire: Cable) -> None:
    def buffer() -> int:
        return sender._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    sender, receiver = ends(wire, socket.AF_INET)
    try:
        before, packets, end = buffer(), burst(45), time.monotonic() + 3 * SEND_BUFFER_PERIOD
        while time.monotonic() < end:
            sender.burst(packets)
        assert before < buffer() <= 2 * SEND_BUFFER_MAX
        time.sleep(2 * SEND_BUFFER_PERIOD)
        sender.burst(burst(1))
        time.sleep(2 * SEND_BUFFER_PERIOD)
        sender.burst(burst(1))
        assert buffer() == before, "a slow cast's beacons wait behind what a fast one may have waiting"
    finally:
        sender.close()
        receiver.socket.close()


def test_when_the_kernel_refuses_segmentation_each_datagram_goes_alone(wire: Cable) -> None:
    """It refuses with EINVAL where it may not compute checksums (udp_send_skb)."""
    sender, receiver = ends(wire, socket.AF_INET)
    try:
        sender._socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sender.burst(burst(45))
        assert not sender.segmenting
        assert heard(receiver, 45 * SIZE) == bytes(burst(45))
    finally:
        sender.close()
        receiver.socket.close()


def test_who_left_the_group_hears_nothing_more(wire: Cable) -> None:
    for family in GROUPS:
        sender, receiver = ends(wire, family)
        try:
            receiver.leave()
            sender.burst(burst(2))
            assert heard(receiver, 1) == b""
        finally:
            sender.close()
            receiver.socket.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_hop_limit_and_class_are_on_the_wire(wire: Cable, family: socket.AddressFamily) -> None:
    sender, receiver = ends(wire, family, ttl=3, dscp=DSCP_LOWER_EFFORT)
    six = family is socket.AF_INET6
    sock = receiver.socket
    if six:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    try:
        sender.control(b"x")
        sock.settimeout(2)
        _, notes, _, _ = sock.recvmsg(100, 256)
        fields = {(level, kind): value[0] for level, kind, value in notes}
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        assert fields[level, socket.IPV6_HOPLIMIT if six else socket.IP_TTL] == 3
        assert fields[level, socket.IPV6_TCLASS if six else socket.IP_TOS] == DSCP_LOWER_EFFORT << 2
    finally:
        sender.close()
        sock.close()

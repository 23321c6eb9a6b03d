"""Discovery between two namespaces, over each family alone: found by multicast, noise left out."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest
from castcore.cast import discovery
from castcore.edge.cast.discovery import FoundServer, find_servers
from castcore.edge.cast.responder import DiscoveryResponder, OfferFields
from castcore.edge.net import nics
from castcore.edge.net.interface import Interface, find_interface
from castcore.errors import NotFound
from castcore.trust import SigningKey

from tests.net.namespaces import Cable, cable, connected, give_addresses, inside, ip

pytestmark = pytest.mark.root

KEY = SigningKey(bytes(range(32)))
# The zone stands for the asker's interface: an OFFER carries none.
URLS = {"4": "https://192.0.2.1:8443", "6": "https://[fe80::1]:8443"}
ZONED = {"4": URLS["4"], "6": "https://[fe80::1%wire0]:8443"}


@pytest.fixture(scope="module", params=["4", "6"])
def family(request: pytest.FixtureRequest) -> str:
    """``4``: both ends have IPv4; ``6``: nothing but what the kernel gave them, link-local IPv6."""
    return str(request.param)


@pytest.fixture(scope="module")
def wire(family: str) -> Iterator[Cable]:
    with cable(f"disco{family}") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            if family == "4":
                ip("-n", space, "link", "set", made.wire, "addrgenmode", "none")
                ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        for space in (made.left, made.right):
            inside(space, lambda: addressed(made.wire))
        yield made


def addressed(name: str) -> Interface:
    """The interface, when its address is proven to be nobody else's."""
    end = time.monotonic() + 20
    while not (nics.ipv4_address(name) or nics.ipv6_addresses(name)):
        assert time.monotonic() < end, "no address"
        time.sleep(0.05)
    return find_interface(name)


def answering(wire: Cable, url: str, key: SigningKey = KEY) -> DiscoveryResponder:
    fields = OfferFields(url, b"c" * 32, "shop", ("c1",))

    def start() -> DiscoveryResponder:
        made = DiscoveryResponder(lambda _: fields, key, [find_interface(wire.wire)])
        made.start()
        return made

    started: DiscoveryResponder = inside(wire.left, start)
    return started


@pytest.fixture
def responder(wire: Cable, family: str) -> Iterator[DiscoveryResponder]:
    made = answering(wire, URLS[family])
    yield made
    made.stop()


def find(wire: Cable, seconds: float = 1.5, key: bytes | None = None) -> list[FoundServer]:
    found = inside(wire.right, lambda: find_servers([wire.wire], seconds=seconds, expected_key=key))
    return list(found)


def test_a_server_is_found_without_any_route(
    wire: Cable, responder: DiscoveryResponder, family: str
) -> None:
    found = find(wire)
    assert found == [FoundServer(ZONED[family], KEY.public, b"c" * 32, "shop", wire.wire, ("c1",))]


def test_the_expected_server_is_returned_at_once(wire: Cable, responder: DiscoveryResponder) -> None:
    started = time.monotonic()
    assert len(find(wire, seconds=20, key=KEY.public)) == 1
    assert time.monotonic() - started < 5


def test_another_server_than_the_expected_does_not_count(
    wire: Cable, responder: DiscoveryResponder
) -> None:
    assert find(wire, key=bytes(32)) == []
    assert responder.answered >= 1


def test_two_servers_on_one_wire_are_both_found(
    wire: Cable, responder: DiscoveryResponder, family: str
) -> None:
    stranger = SigningKey(bytes(32))
    other = answering(wire, URLS[family], stranger)
    try:
        assert {server.key for server in find(wire)} == {KEY.public, stranger.public}
    finally:
        other.stop()


def test_noise_is_dropped_and_counted(wire: Cable, responder: DiscoveryResponder, family: str) -> None:
    def send() -> None:
        index = socket.if_nametoindex(wire.wire)
        kind = socket.AF_INET if family == "4" else socket.AF_INET6
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            to: tuple[str, int] | tuple[str, int, int, int] = (discovery.GROUP, discovery.PORT)
            if family == "4":
                mreqn = bytes(8) + index.to_bytes(4, "little")
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
            else:
                to = (discovery.GROUP_IPV6, discovery.PORT, 0, index)
            for size in (0, 1, 36, discovery.MOST_BYTES, 1400):
                sock.sendto(os.urandom(size), to)

    before = responder.dropped
    inside(wire.right, send)
    assert len(find(wire)) == 1, "and it still answers"
    assert responder.dropped - before == 5


def test_an_interface_that_was_removed_and_is_back_is_heard_again() -> None:
    with cable("back") as wire:
        give_addresses(wire, "192.0.2", "fd09::")
        server = answering(wire, URLS["4"])
        try:
            assert len(find(wire)) == 1
            ip("-n", wire.left, "link", "delete", wire.wire)
            again = ("peer", "name", wire.wire, "netns", wire.right)
            ip("-n", wire.left, "link", "add", wire.wire, "type", "veth", *again)
            give_addresses(wire, "192.0.2", "fd09::")
            assert len(find(wire, seconds=10, key=KEY.public)) == 1
        finally:
            server.stop()


def test_an_interface_without_address_or_at_all_finds_nothing(wire: Cable) -> None:
    assert inside(wire.right, lambda: find_servers(["none0", "lo"], seconds=0.3)) == []


def test_answering_on_no_such_interface_is_an_error(wire: Cable) -> None:
    nowhere = Interface("none0", 9, "192.0.2.1", 0)
    with pytest.raises(NotFound, match="none0"):
        DiscoveryResponder(lambda _: OfferFields("", b"", ""), KEY, [nowhere]).start()

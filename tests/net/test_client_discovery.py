"""Discovery between two namespaces: found by multicast, strangers and noise left out."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest
from castcore.cast import discovery
from castcore.edge.cast.discovery import DiscoveryResponder, FoundServer, OfferFields, find_servers
from castcore.errors import NotFound
from castcore.trust import SigningKey

from tests.net.namespaces import Cable, cable, inside, ip

pytestmark = pytest.mark.root

KEY = SigningKey(bytes(range(32)))
FIELDS = OfferFields("https://192.0.2.1:8443", b"c" * 32, "shop", ("c1",))


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    with cable("disco") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        yield made


@pytest.fixture
def responder(wire: Cable) -> Iterator[DiscoveryResponder]:
    answering = DiscoveryResponder(lambda: FIELDS, KEY, [wire.wire])
    inside(wire.left, answering.start)
    yield answering
    answering.stop()


def find(wire: Cable, seconds: float = 1.5, key: bytes | None = None) -> list[FoundServer]:
    found = inside(wire.right, lambda: find_servers([wire.wire], seconds=seconds, expected_key=key))
    return list(found)


def test_a_server_is_found_without_any_route(wire: Cable, responder: DiscoveryResponder) -> None:
    assert find(wire) == [
        FoundServer(FIELDS.url, KEY.public, FIELDS.certificate_digest, "shop", wire.wire, ("c1",))
    ]


def test_the_expected_server_is_returned_at_once(wire: Cable, responder: DiscoveryResponder) -> None:
    started = time.monotonic()
    assert len(find(wire, seconds=20, key=KEY.public)) == 1
    assert time.monotonic() - started < 5


def test_another_server_than_the_expected_does_not_count(
    wire: Cable, responder: DiscoveryResponder
) -> None:
    assert find(wire, key=bytes(32)) == []
    assert responder.answered >= 1


def test_two_servers_on_one_wire_are_both_found(wire: Cable, responder: DiscoveryResponder) -> None:
    other = DiscoveryResponder(lambda: FIELDS, SigningKey(bytes(32)), [wire.wire])
    inside(wire.left, other.start)
    try:
        assert {server.key for server in find(wire)} == {KEY.public, SigningKey(bytes(32)).public}
    finally:
        other.stop()


def test_noise_is_dropped_and_counted(wire: Cable, responder: DiscoveryResponder) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            index = socket.if_nametoindex(wire.wire)
            mreqn = bytes(8) + index.to_bytes(4, "little")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
            for size in (0, 1, 36, discovery.MOST_BYTES, 1400):
                sock.sendto(os.urandom(size), (discovery.GROUP, discovery.PORT))

    before = responder.dropped
    inside(wire.right, send)
    assert len(find(wire)) == 1, "and it still answers"
    assert responder.dropped - before == 5


def test_an_interface_without_address_or_at_all_finds_nothing(wire: Cable) -> None:
    assert inside(wire.right, lambda: find_servers(["none0", "lo"], seconds=0.3)) == []


def test_answering_on_no_such_interface_is_an_error(wire: Cable) -> None:
    with pytest.raises(NotFound, match="none0"):
        DiscoveryResponder(lambda: FIELDS, KEY, ["none0"]).start()

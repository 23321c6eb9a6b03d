"""Whom to follow when several servers answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from castclient import locate
from castclient.locate import followable, ways
from castclient.settings import Settings
from castcore.cast.discovery import Offer, encode_offer, parse_discover
from castcore.edge.cast import discovery
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.net.pinned import zoned
from castcore.trust import SigningKey

SHOP = FoundServer("https://192.0.2.1:8443", b"s" * 32, bytes(32), "shop", "eth0")
ANNEX = FoundServer("https://192.0.2.2:8443", b"a" * 32, bytes(32), "annex", "eth1")


def test_the_one_that_booted_us_is_followed() -> None:
    assert followable([ANNEX, SHOP], "https://192.0.2.1:8443/") == (SHOP,)


def test_strangers_are_all_offered_in_a_steady_order() -> None:
    assert followable([SHOP, ANNEX], "") == (ANNEX, SHOP)
    assert followable([SHOP, ANNEX], "https://192.0.2.77") == (ANNEX, SHOP)
    assert followable([SHOP], "https://192.0.2.77") == (SHOP,)
    assert followable([], "https://192.0.2.1:8443") == ()


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://192.0.2.1:8443", "https://192.0.2.1:8443"),
        ("https://[fd00::1]:8443", "https://[fd00::1]:8443"),
        ("https://[fe80::1]:8443", "https://[fe80::1%eth0]:8443"),
        # A zone of another machine means nothing here.
        ("https://[fe80::1%enp7]:8443", "https://[fe80::1%eth0]:8443"),
        ("https://[FE80::1]", "https://[fe80::1%eth0]"),
        ("https://server", "https://server"),
        ("https://[fe80::1", "https://[fe80::1"),
    ],
)
def test_a_link_local_address_is_used_through_the_interface_it_was_heard_on(url: str, used: str) -> None:
    assert zoned(url, "eth0") == used


def test_a_link_local_server_we_were_told_of_is_looked_for_on_every_interface() -> None:
    told = "https://[fe80::1]:8443"
    assert ways(told, ["eth0", "eth1"]) == (
        ("https://[fe80::1%eth0]:8443", ""),
        ("https://[fe80::1%eth1]:8443", ""),
    )
    chosen = "https://[fe80::1%eth1]:8443"
    assert ways(chosen, ["eth0", "eth1"]) == ((chosen, ""),)
    assert ways(SHOP.url, ["eth0", "eth1"]) == ((SHOP.url, ""),)
    assert ways(SHOP.url, []) == ((SHOP.url, ""),)


def test_on_our_own_machine_a_server_is_asked_for_through_every_card() -> None:
    assert ways(SHOP.url, ["eth0", "eth1"], bound=True) == ((SHOP.url, "eth0"), (SHOP.url, "eth1"))
    told = "https://[fe80::1]:8443"
    assert ways(told, ["eth0"], bound=True) == (("https://[fe80::1%eth0]:8443", "eth0"),)


def test_the_same_server_elsewhere_is_one_with_its_key_and_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = replace(SHOP, url="https://198.51.100.1:8443", interface="eth1")
    thief = replace(moved, certificate_digest=b"t" * 32)
    for found, expected in (([SHOP], None), ([thief], None), ([], None), ([moved], moved)):
        monkeypatch.setattr(locate, "find_places", lambda *_, found=found, **__: found)
        assert locate.elsewhere(Settings(), SHOP) == expected


def test_a_server_that_failed_where_it_still_answers_is_tried_at_all_its_other_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [SHOP, replace(SHOP, interface="eth1"), replace(SHOP, url="https://198.51.100.1:8443")]
    monkeypatch.setattr(locate, "find_places", lambda *_, **__: places)
    tried, now = [], SHOP
    for _ in places:
        assert locate.elsewhere(Settings(), now) is None, "nothing has failed here yet"
        moved = locate.elsewhere(Settings(), now, failed=True)
        assert moved is not None
        tried.append(moved)
        now = moved
    assert set(tried) == set(places)


def test_every_place_where_a_server_answers_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first alone: that may be a place which still answers and is no use."""
    key = SigningKey(bytes(32))

    def ask(_askers: object, question: bytes, _end: float) -> Iterator[tuple[str, bytes]]:
        nonce = parse_discover(question).nonce
        for interface, url in (
            ("eth0", SHOP.url),
            ("eth0", SHOP.url),
            ("eth1", SHOP.url),
            ("eth1", ANNEX.url),
        ):
            yield interface, encode_offer(Offer(nonce, key.public, url, bytes(32), "shop", ()), key)

    monkeypatch.setattr(discovery, "_ask", ask)
    found = discovery.find_places([], seconds=1, expected_key=key.public)
    assert [(s.interface, s.url) for s in found] == [
        ("eth0", SHOP.url),
        ("eth1", SHOP.url),
        ("eth1", ANNEX.url),
    ]
    assert len(discovery.find_servers([], seconds=1, expected_key=key.public)) == 1


def test_two_that_claim_the_same_address_are_not_chosen_between() -> None:
    thief = FoundServer(SHOP.url, b"t" * 32, bytes(32), "shop", "eth0")
    assert len(followable([SHOP, thief], SHOP.url)) == 2

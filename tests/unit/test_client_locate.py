"""Whom to follow when several servers answer."""

from __future__ import annotations

from castclient.locate import followable
from castcore.edge.cast.discovery import FoundServer

SHOP = FoundServer("https://192.0.2.1:8443", b"s" * 32, bytes(32), "shop", "eth0")
ANNEX = FoundServer("https://192.0.2.2:8443", b"a" * 32, bytes(32), "annex", "eth1")


def test_the_one_that_booted_us_is_followed() -> None:
    assert followable([ANNEX, SHOP], "https://192.0.2.1:8443/") == (SHOP,)


def test_strangers_are_all_offered_in_a_steady_order() -> None:
    assert followable([SHOP, ANNEX], "") == (ANNEX, SHOP)
    assert followable([SHOP, ANNEX], "https://192.0.2.77") == (ANNEX, SHOP)
    assert followable([SHOP], "https://192.0.2.77") == (SHOP,)
    assert followable([], "https://192.0.2.1:8443") == ()


def test_two_that_claim_the_same_address_are_not_chosen_between() -> None:
    thief = FoundServer(SHOP.url, b"t" * 32, bytes(32), "shop", "eth0")
    assert len(followable([SHOP, thief], SHOP.url)) == 2

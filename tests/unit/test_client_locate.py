"""Whom to follow when several servers answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castclient import locate
from castclient.locate import followable, ways
from castclient.settings import Settings
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.net.pinned import zoned

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
        "https://[fe80::1%eth0]:8443",
        "https://[fe80::1%eth1]:8443",
    )
    assert ways("https://[fe80::1%eth1]:8443", ["eth0", "eth1"]) == ("https://[fe80::1%eth1]:8443",)
    assert ways(SHOP.url, ["eth0", "eth1"]) == (SHOP.url,)
    assert ways(SHOP.url, []) == (SHOP.url,)


def test_the_same_server_elsewhere_is_one_with_its_key_and_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = replace(SHOP, url="https://198.51.100.1:8443", interface="eth1")
    thief = replace(moved, certificate_digest=b"t" * 32)
    for found, expected in (([SHOP], None), ([thief], None), ([], None), ([moved], moved)):
        monkeypatch.setattr(locate, "find_servers", lambda *_, found=found, **__: found)
        assert locate.elsewhere(Settings(), SHOP) == expected


def test_two_that_claim_the_same_address_are_not_chosen_between() -> None:
    thief = FoundServer(SHOP.url, b"t" * 32, bytes(32), "shop", "eth0")
    assert len(followable([SHOP, thief], SHOP.url)) == 2

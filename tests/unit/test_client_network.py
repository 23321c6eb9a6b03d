"""Link-local claims, whose address goes where, VLAN names, gateways, hooks: what needs no network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import islice, pairwise
from pathlib import Path

import pytest
from castclient.addressing import chosen, halves, static_places, vlan_name
from castclient.hooks import Hooks
from castclient.linklocal import Claim, Do, candidates
from castclient.routes import gateway_of
from castcore.boot import ArpPacket
from castcore.bootsettings import Moment
from castcore.control import Nic

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
NOBODY = IPv4Address(0)


def run_on(claim: Claim, until: float) -> list[tuple[float, Do]]:
    """What ``claim`` does by itself until then, each with its time."""
    done: list[tuple[float, Do]] = []
    now = claim.now
    while now <= until:
        done += [(now, one) for one in claim.due(now)]
        now = max(claim.at, now + 0.001)
    return done


def first_use(done: Iterable[tuple[float, Do]]) -> float:
    return next(now for now, one in done if one is Do.USE)


def test_an_address_is_probed_three_times_announced_twice_and_held() -> None:
    claim = Claim(MAC, 100.0)
    done = run_on(claim, 130.0)
    assert [one for _, one in done] == [Do.PROBE] * 3 + [Do.USE, Do.ANNOUNCE, Do.ANNOUNCE]
    pauses = [b - a for (a, _), (b, _) in pairwise(done[:3])]
    assert all(1.0 <= pause <= 2.01 for pause in pauses)
    assert 104.0 <= first_use(done) <= 107.5
    assert claim.in_use


def test_every_address_is_one_that_rfc_3927_allows_and_each_card_has_its_own_order() -> None:
    tried = list(islice(candidates(MAC), 500))
    allowed = ipaddress.ip_network("169.254.0.0/16")
    assert all(a in allowed and a.packed[2] not in (0, 255) for a in tried)
    assert tried == list(islice(candidates(MAC), 500))
    assert tried != list(islice(candidates(OTHER), 500))


@pytest.mark.parametrize("rival", [True, False])
def test_an_address_that_another_has_or_probes_for_is_left(rival: bool) -> None:
    claim = Claim(MAC, 0.0)
    claim.due(claim.at)
    wanted = claim.address
    packet = ArpPacket(OTHER, NOBODY if rival else wanted, wanted)
    assert claim.heard(packet, 1.0) == ()
    assert claim.address != wanted
    assert [one for _, one in run_on(claim, 30.0)].count(Do.USE) == 1


def test_what_we_sent_ourselves_or_others_ask_of_us_is_no_conflict() -> None:
    claim = Claim(MAC, 0.0)
    mine = claim.address
    claim.heard(ArpPacket(MAC, NOBODY, mine), 0.5)
    claim.heard(ArpPacket(OTHER, IPv4Address("169.254.7.7"), mine), 0.5)
    assert claim.address == mine


def test_an_address_in_use_is_defended_once_then_given_up() -> None:
    claim = Claim(MAC, 0.0)
    run_on(claim, 30.0)
    mine = claim.address
    thief = ArpPacket(OTHER, mine, IPv4Address("169.254.9.9"))
    assert claim.heard(thief, 40.0) == (Do.ANNOUNCE,)
    assert claim.address == mine
    assert claim.heard(thief, 45.0) == (Do.GIVE_UP,)
    assert (claim.address, claim.in_use) != (mine, True)
    assert claim.heard(replace(thief, sender=claim.address), 45.0) == ()


def test_a_network_where_all_is_taken_is_not_flooded() -> None:
    claim, now = Claim(MAC, 0.0), 0.0
    for _ in range(12):
        claim.heard(ArpPacket(OTHER, claim.address, claim.address), now)
    assert claim.at >= 60.0


def test_an_address_given_by_hand_is_on_every_card_until_the_server_is_found() -> None:
    assert static_places(["eth0", "eth1"], "") == {"eth0", "eth1"}
    assert static_places(["eth0", "eth1"], "eth1") == {"eth1"}
    assert static_places([], "eth1") == {"eth1"}, "a link that is lost for a moment costs no address"
    assert static_places(["eth0"], "eth1") == {"eth0", "eth1"}, "perhaps its cable was moved"
    assert static_places([], "") == frozenset()


def nic(name: str, mac: str) -> Nic:
    return Nic(name=name, mac=mac, driver="", speed=0, link=True, addresses=())


def test_the_card_to_use_is_named_or_all_are_used() -> None:
    cards = (nic("eth0", "52:54:00:AA:00:01"), nic("eth1", "52:54:00:aa:00:02"))
    assert chosen(cards, "") == cards
    assert chosen(cards, "eth1") == cards[1:]
    assert chosen(cards, "52:54:00:aa:00:01") == cards[:1]
    assert chosen(cards, "eth2") == ()


def test_a_vlan_is_named_after_its_card_as_far_as_a_name_may_go() -> None:
    assert vlan_name("enp0s31f6", 2, 4094) == "enp0s31f6.4094"
    assert vlan_name("enx525400aa0001", 7, 42) == "vlan42.7"


def test_two_halves_win_over_a_network_and_tiny_ones_have_none() -> None:
    link_local = ipaddress.IPv4Network("169.254.0.0/16")
    assert halves(link_local) == ("169.254.0.0/17", "169.254.128.0/17")
    assert halves(ipaddress.IPv4Network("192.0.2.0/31")) == ()


def test_the_gateway_of_an_interface_is_read_as_the_kernel_spells_it() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t102\t00000000\t0\t0\t0\n"
        "eth1\t0002C6C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert gateway_of("eth0", table) == "192.0.2.1"
    assert gateway_of("eth1", table) == ""
    assert gateway_of("eth0", "") == ""


def hook(folder: Path, moment: str, name: str, text: str) -> None:
    place = folder / f"{moment}.d" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o755)


def test_a_moment_without_hooks_is_silent(tmp_path: Path) -> None:
    said: list[str] = []
    Hooks(said.append, tmp_path / "none").run(Moment.START)
    assert said == []

"""What is served on an interface in every situation, and what proves who else serves its network."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from castcore.boot import (
    FoundServer,
    InterfaceMode,
    Presence,
    PresenceWatch,
    Situation,
    WantedMode,
    mode_for,
)
from castcore.boot.presence import HEARD_SECONDS, LINK_SECONDS, MOST_SERVERS, PROBE_EVERY, PROBE_SOON

SITE = FoundServer("10.0.0.9", "52:54:00:00:00:09", "site")
RIVAL = FoundServer("10.0.0.8", "52:54:00:00:00:08", "", pxe=True, dhcp=False)
PROXY, SKIP, DHCP, SILENT = InterfaceMode
UNKNOWN, ABSENT, PRESENT = Presence
AUTO, WANT_PROXY, WANT_DHCP, OFF = WantedMode
ON, NOT = True, False

# (presence, deploy, the operator's yes) while nothing was served: what auto serves.
AUTO_TABLE = {
    (UNKNOWN, ON, NOT): SILENT,
    (UNKNOWN, ON, ON): SILENT,
    (UNKNOWN, NOT, NOT): SILENT,
    (UNKNOWN, NOT, ON): SILENT,
    (ABSENT, ON, NOT): PROXY,
    (ABSENT, ON, ON): DHCP,
    (ABSENT, NOT, NOT): SILENT,
    (ABSENT, NOT, ON): SILENT,
    (PRESENT, ON, NOT): PROXY,
    (PRESENT, ON, ON): PROXY,
    (PRESENT, NOT, NOT): SKIP,
    (PRESENT, NOT, ON): SKIP,
}


@pytest.mark.parametrize("casting", [False, True])
@pytest.mark.parametrize(("cell", "mode"), AUTO_TABLE.items())
def test_auto_from_silence(
    cell: tuple[Presence, bool, bool], mode: InterfaceMode, casting: bool
) -> None:
    presence, deploy, own = cell
    decided = mode_for(Situation(AUTO, presence, deploy, own, casting, now=SILENT))
    assert decided.mode is mode
    assert decided.reason
    assert not decided.warning


@pytest.mark.parametrize("now", [PROXY, SKIP])
@pytest.mark.parametrize("casting", [False, True])
@pytest.mark.parametrize(("cell", "mode"), AUTO_TABLE.items())
def test_auto_beside_a_server(
    cell: tuple[Presence, bool, bool], mode: InterfaceMode, casting: bool, now: InterfaceMode
) -> None:
    """As from silence, but a link that flickers ends nothing, and our DHCP waits for a cast's end."""
    presence, deploy, own = cell
    if presence is UNKNOWN:
        mode = PROXY if deploy else SKIP
    if mode is DHCP and casting:
        mode = PROXY
    assert mode_for(Situation(AUTO, presence, deploy, own, casting, now=now)).mode is mode


@pytest.mark.parametrize(("cell", "mode"), AUTO_TABLE.items())
@pytest.mark.parametrize("casting", [False, True])
def test_auto_from_own_dhcp(
    cell: tuple[Presence, bool, bool], mode: InterfaceMode, casting: bool
) -> None:
    presence, deploy, own = cell
    assert mode_for(Situation(AUTO, presence, deploy, own, casting, now=DHCP)).mode is mode


def test_what_is_wanted_for_certain() -> None:
    for presence, deploy, own, casting, now in product(
        Presence, (ON, NOT), (ON, NOT), (ON, NOT), InterfaceMode
    ):
        rest = (presence, deploy, own, casting, (), now)
        assert mode_for(Situation(OFF, *rest)).mode is SILENT
        assert mode_for(Situation(WANT_PROXY, *rest)).mode is (PROXY if deploy else SKIP)
        alone = DHCP if presence is ABSENT and deploy else SILENT
        assert mode_for(Situation(WANT_DHCP, *rest)).mode is alone


def test_addresses_are_leased_only_where_no_other_was_found_and_the_operator_said_yes() -> None:
    cells = product(
        WantedMode, Presence, (ON, NOT), (ON, NOT), (ON, NOT), ((), (SITE,), (RIVAL,)), InterfaceMode
    )
    leasing = [s for s in (Situation(*cell) for cell in cells) if mode_for(s).mode is DHCP]
    assert leasing
    assert all(s.presence is ABSENT and s.deploy for s in leasing)
    assert all(s.own_dhcp or s.wanted is WANT_DHCP for s in leasing)


def test_servers_are_named() -> None:
    both = (RIVAL, SITE)
    beside = mode_for(Situation(AUTO, PRESENT, servers=both))
    assert "10.0.0.9 (site, 52:54:00:00:00:09)" in beside.reason
    assert "10.0.0.8 (52:54:00:00:00:08)" in beside.warning
    assert "10.0.0.9" not in beside.warning
    assert "10.0.0.9" in mode_for(Situation(WANT_DHCP, PRESENT, servers=both)).reason
    assert not mode_for(Situation(OFF, PRESENT, servers=both)).warning


def probe(watch: PresenceWatch, now: float, *answers: FoundServer) -> None:
    watch.asked(now)
    for found in answers:
        watch.heard(found, now + 1, by_us=True)
    watch.probed(now + 3)


def test_absence_takes_two_probes() -> None:
    watch = PresenceWatch()
    assert (watch.presence(0), watch.pause(0)) == (UNKNOWN, PROBE_SOON)
    probe(watch, 0)
    assert watch.presence(3) is UNKNOWN
    probe(watch, 4)
    assert (watch.presence(7), watch.pause(7)) == (ABSENT, PROBE_EVERY)


def test_a_late_answer_counts() -> None:
    watch = PresenceWatch()
    probe(watch, 0)
    watch.heard(SITE, 3.2, by_us=True)
    assert watch.presence(3.2) is PRESENT
    probe(watch, 4)
    assert watch.presence(7) is PRESENT


def test_a_server_that_answered_is_gone_after_two_misses() -> None:
    watch = PresenceWatch()
    probe(watch, 0, SITE)
    assert watch.servers() == (SITE,)
    probe(watch, 30)
    assert (watch.presence(33), watch.pause(33)) == (PRESENT, PROBE_SOON)
    probe(watch, 34)
    assert (watch.presence(37), watch.servers()) == (ABSENT, ())
    probe(watch, 60, SITE)
    probe(watch, 90)
    probe(watch, 94, SITE)
    probe(watch, 98)
    assert watch.presence(101) is PRESENT, "misses count in a row"


def test_a_server_that_knows_its_own_machines_only_is_believed_for_a_day() -> None:
    watch = PresenceWatch()
    watch.heard(FoundServer("10.0.0.9", "", ""), 0, by_us=False)
    for now in (0, 4, 34, HEARD_SECONDS - 10):
        probe(watch, now)
        assert watch.presence(now + 3) is PRESENT
    probe(watch, HEARD_SECONDS + 10)
    assert watch.presence(HEARD_SECONDS + 13) is ABSENT


def test_a_server_that_withdrew_and_answers_as_a_proxy_leases_no_more() -> None:
    watch = PresenceWatch()
    leasing = FoundServer(RIVAL.address, RIVAL.mac, "", pxe=True, dhcp=True)
    watch.heard(leasing, 0, by_us=False)  # its OFFER to a machine
    for now in (10, 14):
        assert watch.presence(now) is PRESENT
        watch.asked(now)
        watch.heard(RIVAL, now + 1, by_us=True, offered=True)
        watch.probed(now + 3)
    assert (watch.presence(17), watch.servers()) == (ABSENT, (RIVAL,))


def test_a_lease_of_our_own_is_a_server() -> None:
    watch = PresenceWatch()
    watch.leased(held=True)
    probe(watch, 0)
    probe(watch, 4)
    assert watch.presence(7) is PRESENT
    watch.leased(held=False)
    assert watch.presence(7) is ABSENT


def test_after_a_change_of_the_link_absence_takes_as_long_as_a_switch() -> None:
    watch = PresenceWatch()
    probe(watch, 0)
    probe(watch, 4)
    watch.doubt(10, LINK_SECONDS)
    for now in (10, 14, 18):
        probe(watch, now)
        assert watch.presence(now + 3) is UNKNOWN
    assert watch.presence(10 + LINK_SECONDS) is ABSENT


def test_a_proxy_is_no_dhcp_server_and_a_server_may_cease_to_be_one() -> None:
    watch = PresenceWatch()
    probe(watch, 0, RIVAL)
    probe(watch, 4, RIVAL)
    assert (watch.presence(7), watch.servers()) == (ABSENT, (RIVAL,))
    both = FoundServer(RIVAL.address, RIVAL.mac, "", pxe=True, dhcp=True)
    probe(watch, 30, both)
    assert (watch.presence(33), watch.servers()) == (PRESENT, (both,))
    probe(watch, 60, RIVAL)
    probe(watch, 64, RIVAL)
    assert (watch.presence(67), watch.servers()) == (ABSENT, (RIVAL,))


def test_invented_servers_do_not_pile_up() -> None:
    watch = PresenceWatch()
    for number in range(1000):
        watch.heard(FoundServer(f"10.1.{number // 250}.{number % 250}", "", ""), number, by_us=False)
    assert len(watch.servers()) == MOST_SERVERS


@pytest.mark.parametrize("own", [False, True])
def test_whoever_has_the_dhcp_port_on_this_host_is_served_beside(own: bool) -> None:
    holder = 'UDP port 67 is taken by "dnsmasq" (process 812)'
    beside = Situation(AUTO, ABSENT, own_dhcp=own, holder=holder)
    assert mode_for(beside).mode is PROXY
    assert holder in mode_for(beside).reason
    assert mode_for(replace(beside, deploy=False)).mode is SKIP
    assert mode_for(replace(beside, presence=UNKNOWN)).mode is SILENT
    found = mode_for(replace(beside, presence=PRESENT, servers=(SITE,)))
    assert holder not in found.reason
    # Who wants ours for certain is told that the port is taken, by its refusal.
    assert mode_for(replace(beside, wanted=WANT_DHCP)).mode is DHCP

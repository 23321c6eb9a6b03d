"""Our own DHCP and real clients, udhcpc and dhclient; and machines that use addresses unasked."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from castcore.boot import BootEvent, BootStage, InterfaceMode, Lease, LeaseState, MemoryStore
from castcore.errors import NoSpace
from castserver.netboot.leasebook import LeaseBook

from tests.net.bootclients import (
    DISCOVER,
    FIRMWARE,
    OFFER,
    OURS,
    PXE,
    answers,
    boot_settings,
    chaddr,
    kind,
    packet,
    serving,
    udhcpc,
)
from tests.net.hosts import Hosts, hosts
from tests.support import databases
from tests.support.bootevents import Events

pytestmark = pytest.mark.root

FIRST = IPv4Address("192.0.2.128")


@pytest.fixture
def net() -> Iterator[Hosts]:
    """Server s, clients c and d, and x, on one switch."""
    with hosts("lease") as made:
        made.switch("hub", "s", "c", "d", "x")
        made.address("s", "wire0", f"{OURS}/24")
        yield made


@pytest.fixture
def book(tmp_path: Path) -> LeaseBook:
    return LeaseBook(databases.at(tmp_path / "db"), lambda: [IPv4Interface(f"{OURS}/24")])


def test_leases_outlive_the_server_and_strangers_get_none_unless_the_operator_says_so(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    settings, store = boot_settings(tmp_path, InterfaceMode.DHCP), book.on("wire0")
    with serving(net, settings, Events(), store):
        assert udhcpc(net, "c", tmp_path, *PXE) == str(FIRST)
        assert udhcpc(net, "d", tmp_path, ok=(1,)) == ""
    book.set_everyone(everyone=True)
    # From the file, as after a restart; d comes first and must not get c's address.
    with serving(net, settings, Events(), store):
        assert udhcpc(net, "d", tmp_path) == str(FIRST + 1)
        assert udhcpc(net, "c", tmp_path) == str(FIRST)
        book.reserve(net.mac("d", "wire0"), FIRST + 70)
        assert udhcpc(net, "d", tmp_path) == str(FIRST + 70)
        book.set_everyone(everyone=False)
        assert udhcpc(net, "d", tmp_path) == str(FIRST + 70)
    kept = {k.lease.address: k.lease.mac for k in book.leases()}
    assert kept == {FIRST: net.mac("c", "wire0"), FIRST + 70: net.mac("d", "wire0")}


def test_dhclient_gets_an_address_and_gives_it_back(net: Hosts, book: LeaseBook, tmp_path: Path) -> None:
    script, told = tmp_path / "script", tmp_path / "told"
    # Nothing is set up but the address itself, from which the release is sent.
    script.write_text(
        f"#!/bin/sh\nset >> {told}\n"
        '[ "$reason" = BOUND ] && ip addr add "$new_ip_address/24" dev wire0\nexit 0\n'
    )
    script.chmod(0o755)
    (tmp_path / "conf").write_text('send vendor-class-identifier "PXEClient:Arch:00007";\n')
    files: list[str | Path] = ["-cf", tmp_path / "conf", "-lf", tmp_path / "lf"]
    files += ["-pf", tmp_path / "pf", "-sf", script]
    asked = packet(DISCOVER, ("requested_addr", str(FIRST)))
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), Events(), book.on("wire0")):
        net.run("c", "dhclient", "-4", "-1", *files, "wire0")
        assert f"new_ip_address='{FIRST}'" in told.read_text()
        assert "new_routers" not in told.read_text()
        assert answers(net, "d", asked)[0].yiaddr == str(FIRST + 1)
        net.run("c", "dhclient", "-4", "-r", *files, "wire0")
        net.run("c", "ip", "addr", "flush", "dev", "wire0")
        end = time.monotonic() + 10
        while book.leases()[0].lease.expires > time.time():
            assert time.monotonic() < end, "the lease was not released"
            time.sleep(0.1)
        other = packet(DISCOVER, ("requested_addr", str(FIRST)), chaddr=chaddr("52:54:00:00:00:08"))
        assert answers(net, "d", other)[0].yiaddr == str(FIRST)


def test_an_address_in_use_is_put_aside_told_and_another_is_offered(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    events = Events()
    for number in range(3):
        net.address("x", "wire0", f"{FIRST + number}/24")
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), events, book.on("wire0")):
        assert udhcpc(net, "c", tmp_path, *PXE) == str(FIRST + 3)
        squatter = net.mac("x", "wire0")
        told = events.wait_for(lambda e: str(FIRST + 2) in e.detail)
        assert (told.mac, told.stage) == (net.mac("c", "wire0"), BootStage.DISCOVER)
        assert f"in use by {squatter}" in told.detail
        events.wait_for(lambda e: e.stage is BootStage.LEASED)
    aside = [k.lease for k in book.leases() if k.lease.state is LeaseState.ASIDE]
    assert [(lease.address, lease.mac) for lease in aside] == [(FIRST + n, squatter) for n in range(3)]


def test_a_reserved_address_that_somebody_uses_is_not_given_out(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    kept, events = IPv4Address("192.0.2.20"), Events()
    book.reserve(net.mac("c", "wire0"), kept)
    net.address("x", "wire0", f"{kept}/24")
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), events, book.on("wire0")):
        assert udhcpc(net, "c", tmp_path) == str(FIRST)
        told = events.wait_for(lambda e: e.stage is BootStage.LEASED)
    assert told.detail == f"address {FIRST}, for its reserved {kept} is taken"


def test_a_client_that_finds_its_address_in_use_gets_another(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    """x takes the address when our probe is over, just before the ACK leaves."""
    events = Events()

    def squat(event: BootEvent) -> None:
        if event.stage is BootStage.LEASED and str(FIRST) in event.detail:
            net.address("x", "wire0", f"{FIRST}/24")
        events(event)

    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), squat, book.on("wire0")):
        assert udhcpc(net, "c", tmp_path, *PXE, "-a", "-A", "1") == str(FIRST + 1)
        told = events.wait_for(lambda e: "in use by another machine" in e.detail)
    assert told.mac == net.mac("c", "wire0")


def test_a_known_machine_does_not_wait_for_the_proof_of_anothers_address(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    net.address("c", "wire0", "192.0.2.9/24")
    known, fresh = packet(DISCOVER), packet(DISCOVER, chaddr=chaddr("52:54:00:00:00:08"))
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), Events(), book.on("wire0")):
        assert kind(answers(net, "c", known)[0]) == OFFER
        got = answers(net, "c", fresh, known, wanted=2)
    assert [answer.chaddr[:6] for answer in got] == [chaddr(FIRMWARE), chaddr("52:54:00:00:00:08")]


def test_a_full_disk_keeps_no_lease_but_boots_machines_and_says_so(net: Hosts, tmp_path: Path) -> None:
    class FullDisk(MemoryStore):
        def keep(self, changed: Collection[Lease], gone: Collection[IPv4Address]) -> None:
            del changed, gone
            raise NoSpace("the database failed: disk full")

    events = Events()
    with serving(net, boot_settings(tmp_path, InterfaceMode.DHCP), events, FullDisk()):
        assert udhcpc(net, "c", tmp_path, *PXE) == str(FIRST)
        told = events.wait_for(lambda e: "leases are not kept" in e.detail)
        assert udhcpc(net, "d", tmp_path, *PXE) == str(FIRST + 1)
    assert (told.mac, told.stage) == ("", BootStage.FAILED)


def test_an_interface_with_a_link_local_address_serves_that_range(
    net: Hosts, book: LeaseBook, tmp_path: Path
) -> None:
    net.run("s", "ip", "addr", "flush", "dev", "wire0")
    net.address("s", "wire0", "169.254.7.7/16")
    settings = boot_settings(tmp_path, InterfaceMode.DHCP)
    linked = replace(settings, address="169.254.7.7")
    with serving(net, linked, Events(), book.on("wire0")):
        assert udhcpc(net, "c", tmp_path, *PXE) == "169.254.247.48"

"""The keeper of an interface over a network, a clock and services that are made up."""

from __future__ import annotations

import pytest
from castcore.boot import InterfaceMode, Presence, WantedMode
from castcore.edge.net.interface import Interface
from castcore.edge.net.nics import LinkState
from castcore.errors import PortTaken, Refused
from castserver.netboot.bootkeeper import TURN_SECONDS, BootKeeper, World
from castserver.netboot.bootstate import Choice, Kept, Setting

from tests.support.keepernetwork import RIVAL, SITE, Network

OURS = Interface("eth1", 7, "10.0.0.1", 1000)
PROXY, SKIP, DHCP, SILENT = InterfaceMode


class Lab:
    """A keeper with its services: ``served`` are the modes they were told, in order."""

    def __init__(self, choice: Choice | None = None) -> None:
        self.network = Network()
        self.setting = Setting()
        self.told: list[Kept] = []
        self.served: list[InterfaceMode | str] = []
        self.broken = self.holder = ""
        self.two_legs = False
        self.refreshed = 0
        world = World(
            self.network.open,
            lambda *_: self.network.link,
            lambda _: self.network.lease,
            lambda _: "10.0.0.77",
            lambda: self.network.now,
            lambda: 0.0,
            lambda *_: self.holder,
            lambda address: "eth2" if address == RIVAL.address and self.two_legs else "",
        )
        self.keeper = BootKeeper(
            OURS, choice or Choice(), self.make, lambda: self.setting, self.told.append, world
        )

    def make(self, mode: InterfaceMode) -> Lab:
        self.making = mode
        return self

    def start(self) -> None:
        self.change(self.making)

    def change(self, mode: InterfaceMode) -> None:
        if self.broken:
            raise PortTaken(self.broken)
        self.served.append(mode)

    def refresh(self) -> None:
        self.refreshed += 1

    def stop(self) -> None:
        self.served.append("stopped")

    def run(self, seconds: float) -> Kept:
        end = self.network.now + seconds
        while self.network.now < end:
            self.keeper.turn()
        return self.keeper.kept


def test_nothing_is_served_before_it_is_known_who_else_serves() -> None:
    lab = Lab()
    lab.network.answering = [SITE, RIVAL]
    kept = lab.run(2.5)
    assert (kept.mode, lab.told, lab.served) == (SILENT, [], [])
    kept = lab.run(1.5)
    assert (kept.mode, kept.presence, lab.served) == (PROXY, Presence.PRESENT, [PROXY])
    assert kept.servers == (RIVAL, SITE)
    assert "10.0.0.8" in lab.told[0].warning
    assert lab.told[0].mode is SILENT, "named before anything is served"
    assert lab.keeper.settled.is_set()


def test_own_dhcp_takes_proof_and_a_yes() -> None:
    assert Lab().run(20).mode is PROXY
    lab = Lab(Choice(own_dhcp=True))
    assert lab.run(6.5).mode is SILENT
    assert lab.run(3).mode is DHCP
    assert Lab(Choice(WantedMode.DHCP)).run(20).mode is DHCP


def test_own_dhcp_is_withdrawn_the_moment_another_is_heard() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.run(10)
    lab.network.waiting = [(SITE, False)]
    before = lab.network.now
    lab.keeper.turn()
    assert lab.network.now - before <= TURN_SECONDS
    kept = lab.keeper.kept
    assert (kept.mode, lab.served) == (PROXY, [DHCP, PROXY])
    assert kept.note == "own DHCP was withdrawn: 10.0.0.9 (52:54:00:00:00:09) answers here too"
    assert lab.told[-1] == kept


def test_two_servers_that_withdrew_from_each_other_wait_before_they_begin_again() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.run(10)
    lab.network.answering = [SITE]
    lab.run(31)
    lab.network.answering = []
    assert lab.run(50).mode is not DHCP
    assert lab.run(60).mode is DHCP


def test_a_server_comes_and_goes() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.network.answering = [SITE]
    lab.run(40)
    assert lab.network.asked <= 4, "twice each half minute: 0, 1, 30, 31"
    lab.network.answering = []
    assert lab.run(45).mode is DHCP
    lab.network.answering = [SITE]
    assert lab.run(31).mode is PROXY
    assert lab.served == [PROXY, DHCP, PROXY]


def test_deploy_off_skips_and_on_serves_again() -> None:
    lab = Lab()
    lab.network.answering = [SITE]
    lab.run(5)
    lab.setting = Setting(deploy=False)
    assert lab.run(1).mode is SKIP
    lab.setting = Setting()
    assert lab.run(1).mode is PROXY


def test_our_dhcp_waits_for_the_end_of_a_cast() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.network.answering = [SITE]
    lab.run(5)
    lab.setting, lab.network.answering = Setting(casting=True), []
    assert lab.run(60).mode is PROXY
    lab.setting = Setting()
    assert lab.run(1).mode is DHCP


def test_a_lease_that_the_interface_holds_is_a_dhcp_server() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.network.lease = "10.0.0.1"
    assert lab.run(20).mode is PROXY


@pytest.mark.parametrize(("own", "during"), [(True, SILENT), (False, PROXY)])
def test_after_a_change_of_the_link_absence_is_proven_anew(own: bool, during: InterfaceMode) -> None:
    lab = Lab(Choice(own_dhcp=own))
    before = lab.run(10).mode
    lab.network.link = LinkState.DOWN
    assert lab.run(5).mode is during
    lab.network.link = LinkState.UP
    assert lab.run(30).mode is during
    assert lab.run(10).mode is before


def test_an_address_that_is_gone_is_told_and_not_served() -> None:
    lab = Lab()
    lab.run(10)
    lab.network.link = LinkState.ANOTHER
    kept = lab.run(1)
    assert kept.mode is SILENT
    assert kept.reason == "eth1 does not have the address 10.0.0.1 any more, but 10.0.0.77"
    assert lab.told[-1] == kept
    lab.network.link = LinkState.UP
    assert lab.run(60).mode is PROXY


def test_an_interface_that_is_gone_takes_its_sockets_with_it() -> None:
    lab = Lab()
    lab.run(10)
    lab.network.link = LinkState.GONE
    lab.keeper._stopping.set()  # so that nothing is waited for
    lab.keeper.turn()
    assert (lab.keeper.kept.reason, lab.network.ears) == ("the interface eth1 is gone", 0)
    lab.network.link = LinkState.UP
    assert lab.run(60).mode is PROXY
    assert lab.served == [PROXY, "stopped", PROXY]


def test_a_port_that_is_taken_is_told_and_tried_again() -> None:
    lab = Lab(Choice(WantedMode.PROXY))
    lab.broken = "UDP port 67 is taken"
    kept = lab.run(4)
    assert (kept.mode, kept.problem) == (SILENT, "UDP port 67 is taken")
    assert isinstance(lab.keeper.failure, PortTaken)
    lab.broken = ""
    kept = lab.run(6)
    assert (kept.mode, kept.problem) == (PROXY, "")


def test_what_is_off_is_not_even_asked() -> None:
    lab = Lab(Choice(WantedMode.OFF))
    lab.keeper._stopping.set()
    lab.keeper.turn()
    assert (lab.network.asked, lab.network.ears, lab.served) == (0, 0, [])
    assert lab.keeper.settled.is_set()
    lab.keeper.choose(Choice(WantedMode.PROXY))
    assert lab.run(5).mode is PROXY
    lab.keeper.choose(Choice(WantedMode.OFF))
    lab.keeper.turn()
    assert (lab.keeper.kept.mode, lab.served[-1], lab.network.ears) == (SILENT, "stopped", 0)


def test_a_proxy_that_is_wanted_for_certain_does_without_hearing() -> None:
    for wanted, modes in ((WantedMode.PROXY, [PROXY]), (WantedMode.AUTO, [])):
        lab = Lab(Choice(wanted))
        lab.network.deaf = True
        lab.keeper._stopping.set()  # so that nothing is waited for
        if modes:
            lab.keeper.turn()
            assert "needs root" in lab.told[-1].note
        else:
            with pytest.raises(Refused):
                lab.keeper.turn()
        assert lab.served == modes


def test_what_else_has_the_dhcp_port_on_this_host_is_taken_for_a_dhcp_server() -> None:
    lab = Lab(Choice(own_dhcp=True))
    lab.holder = 'UDP port 67 is taken by "dnsmasq" (process 812)'
    kept = lab.run(10)
    assert (kept.mode, kept.problem) == (PROXY, "")
    assert "dnsmasq" in kept.reason
    lab.setting = Setting(deploy=False)
    assert lab.run(1).mode is SKIP
    lab.setting, lab.holder = Setting(), ""
    assert lab.run(35).mode is DHCP, "it is looked for with each probe"
    lab.holder = "UDP port 67 is taken by us"
    assert lab.run(35).mode is DHCP, "which is our own server's doing"


def test_our_own_server_in_the_same_network_by_another_leg_is_no_rival() -> None:
    lab = Lab()
    lab.network.answering, lab.two_legs = [SITE, RIVAL], True
    kept = lab.run(5)
    assert (kept.mode, kept.warning, kept.servers) == (PROXY, "", (SITE,))


def test_what_could_not_be_heard_is_no_news_once_it_can_be() -> None:
    lab = Lab(Choice(WantedMode.PROXY))
    lab.network.deaf = True
    lab.keeper._stopping.set()  # so that nothing is waited for
    lab.keeper.turn()
    assert "cannot be seen" in lab.keeper.kept.note
    lab.network.deaf = False
    assert lab.run(5).note == ""


def test_the_boot_tree_is_looked_at_while_it_is_served() -> None:
    lab = Lab()
    lab.network.answering = [SITE]
    lab.run(3)
    assert lab.refreshed == 0
    lab.run(5)
    assert lab.refreshed > 5

"""The simple DHCP server's answers and its leases, with time given."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from castcore.boot import (
    PXE_PORT,
    SERVER_PORT,
    BootDecision,
    BootPlace,
    BootStage,
    DhcpRequest,
    LeaseRules,
    LeaseTable,
    MessageType,
    Pool,
    Verdict,
    dhcp_decide,
)
from castcore.boot.leases import ASIDE_SECONDS, OFFER_SECONDS, PROBING_SECONDS
from castcore.boot.message import UNSPECIFIED
from castcore.boot.options import Option
from castcore.boot.simpledhcp import in_use

SERVER = IPv4Interface("10.0.0.1/24")
PLACE = BootPlace(SERVER.ip, 8080)
FIRST = IPv4Address("10.0.0.128")
ONE, TWO = "52:54:00:00:00:01", "52:54:00:00:00:02"


class Everyone:
    decision = BootDecision.CLIENT

    def decide(self, mac: str, uuid: str) -> BootDecision:
        del mac, uuid
        return self.decision


def small(count: int = 2, **rules: object) -> LeaseTable:
    made = LeaseRules(**rules)  # type: ignore[arg-type]
    return LeaseTable(Pool(SERVER, FIRST, FIRST + count - 1), lambda: made)


def message(kind: MessageType, mac: str = ONE, *, pxe: bool = True, **more: object) -> DhcpRequest:
    made = DhcpRequest(kind, xid=1, mac=mac)
    if pxe:
        made = replace(made, vendor_class="PXEClient", architecture=7)
    return replace(made, **more)  # type: ignore[arg-type]


def ask(table: LeaseTable, asked: DhcpRequest, now: float = 0, port: int = SERVER_PORT) -> Verdict:
    return dhcp_decide(asked, port, PLACE, Everyone(), table, now)


def offered(table: LeaseTable, mac: str = ONE, now: float = 0, **more: object) -> IPv4Address | None:
    """The address in the OFFER, which nobody was found to use."""
    verdict = ask(table, message(MessageType.DISCOVER, mac, **more), now)  # type: ignore[arg-type]
    if verdict.reply is None:
        return None
    address = verdict.reply.yiaddr
    assert table.proven(mac, address, now) == verdict.probe
    return address


def lease(table: LeaseTable, mac: str = ONE, now: float = 0) -> IPv4Address:
    address = offered(table, mac, now)
    assert address is not None
    asked = message(MessageType.REQUEST, mac, requested=address, server_id=PLACE.address)
    reply = ask(table, asked, now).reply
    assert reply is not None
    assert reply.message_type is MessageType.ACK
    return reply.yiaddr


def test_one_answer_holds_the_lease_and_the_boot_file() -> None:
    reply = ask(small(), message(MessageType.DISCOVER)).reply
    assert reply is not None
    found = dict(reply.options)
    assert (reply.message_type, reply.yiaddr, reply.file) == (MessageType.OFFER, FIRST, "shimx64.efi")
    assert reply.siaddr == PLACE.address
    assert found[Option.SUBNET_MASK] == bytes((255, 255, 255, 0))
    assert found[Option.LEASE_TIME] == struct.pack("!I", 3600)
    assert found[Option.SERVER_ID] == PLACE.address.packed
    assert Option.ROUTER not in found


def test_the_whole_exchange_tells_of_the_lease() -> None:
    table = small()
    address = lease(table)
    asked = message(MessageType.REQUEST, requested=address, server_id=PLACE.address)
    event = ask(table, asked).event
    assert event is not None
    assert (event.stage, event.detail) == (BootStage.LEASED, f"address {FIRST}")
    assert [(x.mac, x.address) for x in table.leases(0)] == [(ONE, FIRST)]


def test_two_machines_never_share_an_address_and_a_third_is_told_of() -> None:
    table = small(2)
    assert {lease(table, ONE), lease(table, TWO)} == {FIRST, FIRST + 1}
    verdict = ask(table, message(MessageType.DISCOVER, "52:54:00:00:00:03"))
    assert verdict.reply is None
    assert verdict.event is not None
    assert verdict.event.stage is BootStage.FAILED
    assert "no address left" in verdict.event.detail


def test_a_machine_gets_its_address_again() -> None:
    table = small()
    first = lease(table, TWO)
    lease(table, ONE)
    assert lease(table, TWO, now=3599) == first


def test_an_offer_not_taken_up_is_free_later() -> None:
    table = small(1)
    assert offered(table, ONE) == FIRST
    assert offered(table, TWO, now=OFFER_SECONDS - 1) is None
    assert offered(table, TWO, now=OFFER_SECONDS + 1) == FIRST


def test_a_lease_runs_out() -> None:
    table = small(1)
    lease(table, ONE)
    assert offered(table, TWO, now=3599) is None
    assert lease(table, TWO, now=3601) == FIRST


def test_a_released_address_is_free() -> None:
    table = small(1)
    lease(table, ONE)
    ask(table, message(MessageType.RELEASE, TWO, ciaddr=FIRST))  # not its own
    assert offered(table, TWO) is None
    ask(table, message(MessageType.RELEASE, ONE, ciaddr=FIRST))
    assert offered(table, TWO) == FIRST


def test_a_declined_address_is_left_alone() -> None:
    table = small(2)
    lease(table, ONE)
    ask(table, message(MessageType.DECLINE, ONE, requested=FIRST))
    assert lease(table, ONE) == FIRST + 1
    assert offered(table, TWO, now=ASIDE_SECONDS - 1) is None
    assert offered(table, TWO, now=ASIDE_SECONDS + 1) == FIRST


def test_a_declined_address_is_told() -> None:
    table = small()
    lease(table, ONE)
    event = ask(table, message(MessageType.DECLINE, ONE, requested=FIRST)).event
    assert event is not None
    assert event.detail == (
        "10.0.0.128 is in use by another machine, which did not get it here: put aside"
    )
    again = ask(table, message(MessageType.DECLINE, ONE, requested=FIRST))
    assert again == Verdict()


def test_an_address_is_proven_once_for_each_offer() -> None:
    table = small()
    discover = message(MessageType.DISCOVER)
    assert ask(table, discover).probe
    assert ask(table, discover).probe  # the probe still runs
    assert table.proven(ONE, FIRST, 1)
    assert not ask(table, discover, now=2).probe
    assert not ask(table, message(MessageType.REQUEST, requested=FIRST), now=3).probe
    assert not ask(table, discover, now=3000).probe
    assert ask(table, discover, now=4000).probe  # the lease has run out


def test_an_address_that_was_never_proven_is_soon_free() -> None:
    table = small(1)
    ask(table, message(MessageType.DISCOVER))
    assert offered(table, TWO, now=PROBING_SECONDS - 1) is None
    assert offered(table, TWO, now=PROBING_SECONDS + 1) == FIRST
    assert not table.proven(ONE, FIRST, PROBING_SECONDS + 2)


def test_an_address_found_in_use_is_put_aside_and_its_user_may_have_it() -> None:
    table = small(2)
    ask(table, message(MessageType.DISCOVER))
    event = in_use(ONE, FIRST, TWO, table, 0)
    assert event is not None
    assert TWO in event.detail
    assert offered(table, ONE) == FIRST + 1
    renewal = message(MessageType.REQUEST, TWO, ciaddr=FIRST)
    reply = ask(table, renewal).reply
    assert reply is not None
    assert (reply.message_type, reply.yiaddr) == (MessageType.ACK, FIRST)


def test_a_reserved_address_that_another_has_is_not_given_twice() -> None:
    rules = LeaseRules()
    table = LeaseTable(Pool(SERVER, FIRST, FIRST + 2), lambda: rules)
    assert lease(table, TWO) == FIRST
    rules = LeaseRules({ONE: FIRST})
    told = ask(table, message(MessageType.REQUEST, ONE, requested=lease(table, ONE))).event
    assert told is not None
    assert told.detail == f"address {FIRST + 1}, for its reserved {FIRST} is taken"
    denied = ask(table, message(MessageType.REQUEST, TWO, ciaddr=FIRST), now=1800).reply
    assert denied is not None
    assert denied.message_type is MessageType.NAK
    assert lease(table, TWO, now=1800) == FIRST + 2
    assert lease(table, ONE, now=1800) == FIRST


def test_a_reservation_on_another_network_of_ours_means_nothing_here() -> None:
    table = small(reservations={ONE: IPv4Address("192.168.7.7")})
    assert offered(table, ONE) == FIRST
    assert offered(table, ONE, pxe=False) == FIRST


def test_a_reservation_taken_back_ends_with_the_lease() -> None:
    rules = LeaseRules({ONE: IPv4Address("10.0.0.20")})
    table = LeaseTable(Pool(SERVER, FIRST, FIRST + 1), lambda: rules)
    address = lease(table, ONE)
    rules = LeaseRules()
    denied = ask(table, message(MessageType.REQUEST, ONE, ciaddr=address), now=1800).reply
    assert denied is not None
    assert denied.message_type is MessageType.NAK
    assert lease(table, ONE, now=1800) == FIRST


@pytest.mark.parametrize("kind", list(MessageType))
def test_a_machine_of_another_network_is_not_leased_through_its_relay(kind: MessageType) -> None:
    table = small(everyone=True)
    relayed = message(kind, giaddr=IPv4Address("10.9.0.1"), requested=FIRST)
    verdict = ask(table, relayed)
    assert verdict.reply is None
    assert table.leases(0) == ()
    if kind is MessageType.DISCOVER:
        assert verdict.event is not None
        assert verdict.event.stage is BootStage.REFUSED
        assert "relay 10.9.0.1" in verdict.event.detail
    assert ask(table, replace(relayed, vendor_class="")) == Verdict()


def test_a_relay_on_our_own_network_is_answered() -> None:
    relayed = message(MessageType.DISCOVER, giaddr=IPv4Address("10.0.0.3"), relay_information=b"\1\1x")
    reply = ask(small(), relayed).reply
    assert reply is not None
    assert (reply.yiaddr, reply.giaddr, reply.broadcast) == (FIRST, relayed.giaddr, False)
    assert reply.options[-1] == (Option.RELAY_INFORMATION, b"\1\1x")


def test_a_reservation_is_kept_for_its_machine() -> None:
    kept = IPv4Address("10.0.0.20")
    table = small(1, reservations={ONE: kept, TWO: FIRST})
    assert lease(table, ONE) == kept
    assert offered(table, "52:54:00:00:00:03", requested=FIRST) is None
    assert lease(table, TWO) == FIRST


def test_what_a_machine_asks_for_it_gets_if_it_is_free() -> None:
    assert offered(small(2), requested=FIRST + 1) == FIRST + 1
    assert offered(small(2), requested=IPv4Address("10.0.0.5")) == FIRST


@pytest.mark.parametrize("wanted", ["10.0.0.1", "10.0.0.5", "192.168.1.9"])
def test_an_address_it_cannot_have_is_denied(wanted: str) -> None:
    asked = message(MessageType.REQUEST, requested=IPv4Address(wanted), server_id=PLACE.address)
    table = small()
    reply = ask(table, asked).reply
    assert reply is not None
    assert reply.message_type is MessageType.NAK
    assert reply.yiaddr == UNSPECIFIED
    assert table.leases(0) == ()


def test_after_a_restart_a_machine_keeps_an_address_that_is_free_and_is_not_told_off() -> None:
    """INIT-REBOOT: a server that lost its memory binds what is free, stays silent on the rest."""
    table = small()
    reply = ask(table, message(MessageType.REQUEST, requested=FIRST)).reply
    assert reply is not None
    assert reply.message_type is MessageType.ACK
    unknown = message(MessageType.REQUEST, TWO, requested=IPv4Address("10.0.0.77"))
    assert ask(table, unknown).reply is None
    foreign = message(MessageType.REQUEST, TWO, requested=IPv4Address("192.168.7.7"))
    denied = ask(table, foreign).reply
    assert denied is not None
    assert denied.message_type is MessageType.NAK


def test_choosing_another_server_frees_our_offer() -> None:
    table = small(1)
    offered(table, ONE)
    ask(table, message(MessageType.REQUEST, server_id=IPv4Address("10.0.0.9")))
    assert offered(table, TWO) == FIRST


def test_renewal_goes_by_the_address_in_use() -> None:
    table = small()
    address = lease(table)
    renewed = ask(table, message(MessageType.REQUEST, pxe=False, ciaddr=address), now=1800)
    assert renewed.reply is not None
    assert renewed.reply.message_type is MessageType.ACK
    assert renewed.reply.file == ""
    assert table.leases(3700)[0].expires == 1800 + 3600


def test_strangers_get_an_address_only_if_the_operator_says_so() -> None:
    assert offered(small(), pxe=False) is None
    assert offered(small(everyone=True), pxe=False) == FIRST


def test_a_stranger_loses_its_lease_when_the_operator_says_so() -> None:
    rules = LeaseRules(everyone=True)
    table = LeaseTable(Pool(SERVER, FIRST, FIRST), lambda: rules)
    address = offered(table, pxe=False)
    assert address is not None
    asked = message(MessageType.REQUEST, pxe=False, requested=address, server_id=PLACE.address)
    assert ask(table, asked).reply is not None
    rules = LeaseRules()
    assert ask(table, message(MessageType.REQUEST, pxe=False, ciaddr=address)).reply is None


def test_the_booted_client_asks_again_without_pxe_and_is_served() -> None:
    table = small()
    address = lease(table)
    assert offered(table, pxe=False) == address


def test_the_boot_server_port_gives_no_address() -> None:
    table = small()
    reply = ask(table, message(MessageType.REQUEST), port=PXE_PORT).reply
    assert reply is not None
    assert (reply.message_type, reply.yiaddr) == (MessageType.ACK, UNSPECIFIED)
    assert table.leases(0) == ()


@pytest.mark.parametrize(
    ("interface", "first", "last"),
    [
        ("10.0.0.1/24", "10.0.0.128", "10.0.0.254"),
        ("10.0.0.1/30", "10.0.0.2", "10.0.0.2"),
        ("169.254.7.7/16", "169.254.247.48", "169.254.254.255"),
    ],
)
def test_the_pool_is_the_upper_half_of_the_network(interface: str, first: str, last: str) -> None:
    pool = Pool.of(IPv4Interface(interface))
    assert (str(pool.first), str(pool.last)) == (first, last)


def test_a_network_without_room_has_no_pool() -> None:
    with pytest.raises(ValueError, match="no address left"):
        Pool.of(IPv4Interface("10.0.0.1/31"))


def test_our_own_address_is_never_leased() -> None:
    pool = Pool.of(IPv4Interface("10.0.0.200/24"))
    assert pool.server.ip not in pool
    assert pool.server.ip not in set(pool)

"""Leases over restarts, clock steps and changes of the network; and the proof of an address by ARP."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from castcore.boot import (
    ArpPacket,
    Lease,
    LeaseRules,
    LeaseState,
    LeaseTable,
    MemoryStore,
    Pool,
    Probation,
)
from castcore.boot.leases import ASIDE_SECONDS
from castcore.boot.message import UNSPECIFIED
from castcore.boot.probation import PROBE_SECONDS
from castcore.edge.net import arp
from castcore.errors import BadPacket
from castserver.services.wallclock import WallClock

SERVER = IPv4Interface("10.0.0.1/24")
FIRST = IPv4Address("10.0.0.128")
POOL = Pool(SERVER, FIRST, FIRST + 3)
ONE, TWO = "52:54:00:00:00:01", "52:54:00:00:00:02"
NOW = 1_000_000.0


def restarted(store: MemoryStore, now: float, pool: Pool = POOL) -> LeaseTable:
    return LeaseTable(pool, store.rules, store.kept(), now)


def kept(table: LeaseTable, store: MemoryStore) -> MemoryStore:
    store.keep(*table.take_changes())
    return store


def test_leases_are_there_after_a_restart() -> None:
    table, store = LeaseTable(POOL), MemoryStore()
    assert table.bind(ONE, FIRST + 2, NOW, booted=True)
    table.set_aside(ONE, FIRST, NOW)  # not its
    assert table.bind(TWO, FIRST + 1, NOW)
    assert table.set_aside(TWO, FIRST + 1, NOW)
    again = restarted(kept(table, store), NOW + 60)
    assert again.leases(NOW + 60) == table.leases(NOW + 60)
    assert again.serves(ONE)
    assert not again.serves(TWO)
    offer = again.offer(ONE, UNSPECIFIED, NOW + 60)
    assert offer is not None
    assert (offer.address, offer.state) == (FIRST + 2, LeaseState.BOUND)


def test_offers_are_not_kept_and_a_moved_machine_leaves_nothing_behind() -> None:
    table, store = LeaseTable(POOL), MemoryStore()
    table.offer(TWO, UNSPECIFIED, NOW)
    assert kept(table, store).kept() == ()
    assert table.bind(ONE, FIRST + 1, NOW)
    kept(table, store)
    assert table.bind(ONE, FIRST + 2, NOW)
    assert [lease.address for lease in kept(table, store).kept()] == [FIRST + 2]


def test_nothing_is_written_twice() -> None:
    table = LeaseTable(POOL)
    table.bind(ONE, FIRST, NOW)
    assert [lease.address for lease in table.take_changes()[0]] == [FIRST]
    assert table.take_changes() == ([], [])


def test_what_no_longer_fits_the_network_is_forgotten() -> None:
    store = MemoryStore()
    foreign = Lease(IPv4Address("192.168.0.9"), ONE, LeaseState.BOUND, NOW + 60)
    ours = Lease(SERVER.ip, TWO, LeaseState.BOUND, NOW + 60)
    store.keep([foreign, ours], [])
    table = restarted(store, NOW)
    assert table.leases(NOW) == ()
    assert kept(table, store).kept() == ()


@pytest.mark.parametrize(
    ("state", "left"), [(LeaseState.BOUND, POOL.lease_seconds), (LeaseState.ASIDE, ASIDE_SECONDS)]
)
def test_a_lease_kept_under_a_clock_years_ahead_ends_all_the_same(state: LeaseState, left: int) -> None:
    store = MemoryStore()
    store.keep([Lease(FIRST, ONE, state, NOW + 1e9)], [])
    assert restarted(store, NOW).leases(NOW)[0].expires == NOW + left


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_a_step_of_the_clock_changes_no_time_left_not_even_over_a_restart(step: float) -> None:
    table, store = LeaseTable(POOL), MemoryStore()
    table.bind(ONE, FIRST, NOW)
    kept(table, store)
    table.shift(step)
    now = NOW + step
    assert table.leases(now)[0].expires == now + POOL.lease_seconds
    assert restarted(kept(table, store), now).leases(now) == table.leases(now)


def test_the_clock_tells_its_steps_and_nothing_else() -> None:
    wall, steady = 1000.0, 50.0
    clock = WallClock(lambda: wall, lambda: steady)
    wall, steady = 1011.5, 60.0  # slewed
    assert (clock.stepped(), clock.now()) == (0.0, 1010.0)
    wall = 5000.0
    assert clock.now() == 1010.0
    assert (clock.stepped(), clock.now()) == (3990.0, 5000.0)
    assert clock.stepped() == 0.0


def test_two_kept_leases_of_one_machine_leave_the_later() -> None:
    store = MemoryStore()
    one = Lease(FIRST, ONE, LeaseState.BOUND, NOW + 60)
    store.keep([replace(one, address=FIRST + 1, expires=NOW + 90), one], [])
    table = restarted(store, NOW)
    assert [lease.address for lease in table.leases(NOW)] == [FIRST + 1]
    assert [lease.address for lease in kept(table, store).kept()] == [FIRST + 1]


def test_the_address_out_of_use_for_longest_is_given_first() -> None:
    table = LeaseTable(POOL)
    for number in range(4):
        assert table.bind(f"52:54:00:00:01:0{number}", FIRST + number, NOW - number)
    offer = table.offer(ONE, UNSPECIFIED, NOW + 9000)
    assert offer is not None
    assert offer.address == FIRST + 3


def test_an_operators_rule_counts_from_the_next_request() -> None:
    rules = LeaseRules()
    table = LeaseTable(POOL, lambda: rules)
    assert not table.serves(ONE)
    rules = LeaseRules({ONE: FIRST})
    assert table.serves(ONE)
    assert table.reserved(ONE) == FIRST
    rules = LeaseRules({ONE: SERVER.ip})  # the server's address was changed to it
    assert table.reserved(ONE) is None


def probation(now: float = 0.0) -> Probation:
    made = Probation()
    assert made.begin(FIRST, ONE, now)
    return made


def test_an_address_that_nobody_answers_for_is_proven_after_two_probes() -> None:
    made = probation()
    assert not made.begin(FIRST, ONE, 0.1)
    assert made.step(PROBE_SECONDS * 0.4) == ((), ())
    assert made.step(PROBE_SECONDS * 0.5) == ((FIRST,), ())
    again, proven = made.step(PROBE_SECONDS)
    assert (again, [(p.address, p.mac) for p in proven]) == ((), [(FIRST, ONE)])
    assert made.step(PROBE_SECONDS * 9) == ((), ())


@pytest.mark.parametrize(
    ("packet", "ends"),
    [
        (ArpPacket(TWO, FIRST, SERVER.ip), True),
        (ArpPacket(TWO, UNSPECIFIED, FIRST), True),  # it probes the same address
        (ArpPacket(ONE, FIRST, SERVER.ip), False),  # the machine's own
        (ArpPacket(TWO, FIRST + 1, FIRST), False),  # it merely looks for it
        (ArpPacket(TWO, UNSPECIFIED, FIRST + 1), False),
    ],
)
def test_an_address_is_in_use_when_another_machine_says_so(packet: ArpPacket, *, ends: bool) -> None:
    made = probation()
    assert (made.heard(packet) is not None) == ends
    assert (made.step(1)[0] == ()) == ends


def test_an_arp_probe_claims_nothing_and_reads_back() -> None:
    sent = arp.encode_probe(bytes.fromhex("525400000001"), FIRST)
    assert len(sent) == 28
    assert arp.decode(sent + bytes(18)) == ArpPacket(ONE, UNSPECIFIED, FIRST)


@pytest.mark.parametrize(
    "data", [b"", bytes(27), bytes(28), bytes.fromhex("0006080006040001") + bytes(20)]
)
def test_what_is_no_arp_of_ipv4_over_ethernet_is_a_bad_packet(data: bytes) -> None:
    with pytest.raises(BadPacket):
        arp.decode(data)

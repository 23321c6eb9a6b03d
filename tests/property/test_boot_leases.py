"""Whatever machines, operator, clock and restarts do: an address is promised to one machine only."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from castcore.boot import LeaseRules, LeaseState, LeaseTable, MemoryStore, Pool
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

SERVER = IPv4Interface("10.0.0.1/24")
FIRST = IPv4Address("10.0.0.252")
POOL = Pool(SERVER, FIRST, FIRST + 2)
MACS = st.sampled_from([f"52:54:00:00:00:0{n}" for n in range(5)])
# In the pool, outside it, the network's own, ours.
ADDRESSES = st.sampled_from([*(FIRST + n for n in range(4)), IPv4Address("10.0.0.20"), SERVER.ip])
SECONDS = st.floats(0, 5000)


@dataclass(frozen=True)
class Promise:
    """What a machine was told in an ACK; ``until`` in seconds that no clock can set."""

    address: IPv4Address
    until: float


class Leases(RuleBasedStateMachine):
    """The table beside the promises that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.rules_now = LeaseRules()
        self.store = MemoryStore()
        self.steady, self.offset = 0.0, 1e9
        self.promises: dict[str, Promise] = {}
        self.probing: dict[str, IPv4Address] = {}
        self.table = self.started()

    @property
    def now(self) -> float:
        return self.steady + self.offset

    def started(self) -> LeaseTable:
        return LeaseTable(POOL, lambda: self.rules_now, self.store.kept(), self.now)

    def others(self, mac: str) -> set[IPv4Address]:
        """What is promised to other machines now."""
        return {p.address for m, p in self.promises.items() if m != mac and p.until > self.steady}

    @rule(mac=MACS, wanted=ADDRESSES, booted=st.booleans())
    def discover(self, mac: str, wanted: IPv4Address, *, booted: bool) -> None:
        lease = self.table.offer(mac, wanted, self.now, booted=booted)
        if lease is None:
            return
        assert lease.mac == mac
        assert lease.address not in self.others(mac)
        assert self.rules_now.owners.get(lease.address, mac) == mac
        assert lease.address in POOL or lease.address == self.rules_now.reservations.get(mac)
        if lease.state is LeaseState.PROBING:
            self.probing[mac] = lease.address
        held = self.promises.get(mac)
        if held is not None and held.address != lease.address:
            del self.promises[mac]  # it asks anew, so it uses the old one no more

    @rule(mac=MACS, clear=st.booleans())
    def probed(self, mac: str, *, clear: bool) -> None:
        address = self.probing.pop(mac, None)
        if address is None:
            return
        if clear:
            self.table.proven(mac, address, self.now)
        elif self.table.set_aside(mac, address, self.now, "02:00:00:00:00:01"):
            self.broken(mac, address)
            lease = self.table.offer(mac, address, self.now)
            assert lease is None or lease.address != address

    @rule(mac=MACS, address=ADDRESSES)
    def request(self, mac: str, address: IPv4Address) -> None:
        if self.table.bind(mac, address, self.now):
            assert address not in self.others(mac)
            assert address != SERVER.ip
            assert self.rules_now.owners.get(address, mac) == mac
            self.promises[mac] = Promise(address, self.steady + POOL.lease_seconds)

    @rule(mac=MACS, address=ADDRESSES)
    def release(self, mac: str, address: IPv4Address) -> None:
        self.table.release(mac, address, self.now)
        self.broken(mac, address)

    @rule(mac=MACS, address=ADDRESSES)
    def decline(self, mac: str, address: IPv4Address) -> None:
        self.table.set_aside(mac, address, self.now)
        self.broken(mac, address)

    @rule(mac=MACS, address=ADDRESSES)
    def reserve(self, mac: str, address: IPv4Address) -> None:
        kept = {m: a for m, a in self.rules_now.reservations.items() if a != address}
        self.rules_now = LeaseRules(kept | {mac: address})

    @rule(mac=MACS)
    def unreserve(self, mac: str) -> None:
        kept = {m: a for m, a in self.rules_now.reservations.items() if m != mac}
        self.rules_now = LeaseRules(kept)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.steady += seconds

    @rule(seconds=st.floats(-1e8, 1e8))
    def set_clock(self, seconds: float) -> None:
        self.offset += seconds
        self.table.shift(seconds)

    @rule(back=st.floats(0, 1e6))
    def restart(self, back: float) -> None:
        """The clock may be behind when the server comes back: leases last longer then, never shorter."""
        self.store.keep(*self.table.take_changes())
        self.offset -= back
        self.table = self.started()

    @precondition(lambda self: self.promises)
    @rule(mac=MACS)
    def renew(self, mac: str) -> None:
        """A promise that still holds is renewed, unless the operator gave the address to another."""
        promise = self.promises.get(mac)
        if promise is None or promise.until <= self.steady:
            return
        owner = self.rules_now.owners.get(promise.address, mac)
        usable = promise.address in POOL or promise.address == self.rules_now.reservations.get(mac)
        renewed = self.table.bind(mac, promise.address, self.now)
        assert renewed == (owner == mac and usable)
        if renewed:
            self.promises[mac] = Promise(promise.address, self.steady + POOL.lease_seconds)

    @invariant()
    def no_two_live_leases_of_one_address_or_machine(self) -> None:
        live = self.table.leases(self.now)
        assert len({lease.address for lease in live}) == len(live)
        machines = [lease.mac for lease in live if lease.state is not LeaseState.ASIDE]
        assert len(set(machines)) == len(machines)
        assert SERVER.ip not in {lease.address for lease in live}

    def broken(self, mac: str, address: IPv4Address) -> None:
        promise = self.promises.get(mac)
        if promise is not None and promise.address == address:
            del self.promises[mac]


TestLeases = Leases.TestCase

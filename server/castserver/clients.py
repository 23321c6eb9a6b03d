"""Every machine ever met, and the client that runs on it now: registrations, orders, reports.

Machines are few thousands at most, so all live in memory and the database is written through. One
lock guards them (shared with :mod:`castserver.casts`, whose changes span both); what coroutines read
without it (a token's client, the tuple of open orders) is replaced as a whole, never changed in place.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from castcore.boot import BootDecision
from castcore.control import AfterCast, ClientState, Order, Registered, Registration, Report
from castcore.errors import NotFound, Refused

from castserver.database import Database
from castserver.machineid import Traits, find_at_boot, find_machine, traits
from castserver.policy import boot_decision
from castserver.signal import Signal
from castserver.tables import MachineRow

# A long poll waits at most this long, in seconds, so a living client is heard at least as often.
MOST_WAIT = 25.0
# Silent for longer than this, a client is gone: one long poll and ten seconds of a bad network.
GONE_AFTER = MOST_WAIT + 10.0
# Anybody on the network can register; this bounds what somebody who invents machines can make us hold.
MOST_MACHINES = 20_000
# What is kept of a report: a client that tells its whole journal each second must not fill our memory.
MOST_LOG_LINES = 500
LONGEST_LINE = 500
# How much of a rate's old value survives one report (they come about once a second).
RATE_MEMORY = 0.7


@dataclass(eq=False)
class Client:
    """A machine, and its client while one is connected. Times without a unit are Unix seconds.

    ``heard`` and ``reported`` are the monotonic times of its last request and its last report; ``rate``
    is the bytes a second it receives; ``capture`` is the id of the one it is at, or has still to begin;
    ``source``: its disks were captured since it started.
    """

    id: str
    registration: Registration
    traits: Traits
    token_hash: str
    boots: BootDecision
    orders_given: int
    first_seen: int
    last_seen: int
    heard: float = -math.inf
    reported: float = -math.inf
    report: Report | None = None
    logs: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    rate: float = 0.0
    capture: str = ""
    source: bool = False
    signal: Signal = field(default_factory=Signal)

    def online(self, now: float) -> bool:
        """Whether the client was heard lately; ``now`` is monotonic seconds."""
        return now - self.heard <= GONE_AFTER

    @property
    def label(self) -> str:
        """A name for people: its model, and its first MAC."""
        machine = self.registration.machine
        model = " ".join(filter(None, (machine.vendor.strip(), machine.product.strip()))) or "PC"
        mac = next((n.mac for n in self.registration.nics if n.mac), self.id)
        return f"{model} · {mac}"

    @property
    def stays(self) -> bool:
        """Whether its last order lets it stay in our client when done."""
        return not self.orders or self.orders[-1].after is AfterCast.STAY


class Clients:
    """The registry; implements ``castcore.boot.BootPolicy``."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.changed = Signal()
        self._database = database
        self._clients = {row.id: _from_row(row) for row in database.all(MachineRow)}
        self._present, self._count_due = 0, -math.inf
        self._by_token = {c.token_hash: c for c in self._clients.values()}

    def all(self) -> list[Client]:
        """Every machine, in the order of their first registration."""
        with self.lock:
            return sorted(self._clients.values(), key=lambda c: c.first_seen)

    def get(self, name: str) -> Client:
        """The machine with id ``name``. Raises NotFound."""
        found = self._clients.get(name)
        if found is None:
            raise NotFound(
                f"there is no machine {name[:40]!r}", hint="`fleetcast machines list` shows all"
            )
        return found

    def by_token(self, token: str) -> Client | None:
        """The client that ``token`` was given to, now heard again; None when it is unknown."""
        client = self._by_token.get(_hash(token)) if token else None
        if client is not None:
            client.heard = self.clock()
        return client

    def present(self) -> int:
        """How many clients are connected; counted once a second at most."""
        now = self.clock()
        if now >= self._count_due:
            with self.lock:
                self._present = sum(client.online(now) for client in self._clients.values())
            self._count_due = now + 1.0
        return self._present

    def register(self, registration: Registration) -> tuple[Client, Registered]:
        """Take in a client that has just started: a machine met before keeps its id.

        Raises Refused when there are too many machines.
        """
        token, now, seen = secrets.token_urlsafe(32), int(time.time()), traits(registration)
        with self.lock:
            name = find_machine(self._known(), seen)
            if name is None:
                self._require_room()
                name = self._new_id()
                client = Client(name, registration, seen, "", BootDecision.CLIENT, 0, now, now)
            else:
                client = self._clients[name]
                self._by_token.pop(client.token_hash, None)
            client.registration, client.traits, client.last_seen = registration, seen, now
            client.token_hash = _hash(token)
            client.report, client.orders, client.rate, client.source = None, (), 0.0, False
            client.heard = self.clock()
            self._clients[name] = self._by_token[client.token_hash] = client
            self._save(client)
        self.changed.fire()
        return client, Registered(client.id, token)

    def order(self, client: Client, order: Order) -> Order:
        """Give ``client`` one more order, numbered here; it replaces those it has not fetched yet."""
        with self.lock:
            client.orders_given += 1
            order = replace(order, number=client.orders_given)
            client.orders = (order,)
            self._save(client)
        client.signal.fire()
        self.changed.fire()
        return order

    def note(self, client: Client, report: Report) -> Report:
        """Remember the latest ``report`` of ``client``; return it cut down to what is kept of one."""
        lines = tuple(line[:LONGEST_LINE] for line in report.logs[-MOST_LOG_LINES:])
        report = replace(report, message=report.message[:LONGEST_LINE], logs=())
        with self.lock:
            client.logs = lines or client.logs
            now = self.clock()
            client.rate = _rate(client, report, max(now - client.reported, 0.1))
            client.report, client.reported = report, now
            client.last_seen = int(time.time())
        self.changed.fire()
        return report

    def set_boots(self, client: Client, boots: BootDecision) -> None:
        """Decide what the machine boots over the network from now on."""
        with self.lock:
            if client.boots is not boots:
                client.boots = boots
                self._save(client)
        self.changed.fire()

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """What the machine with ``mac`` and firmware ``uuid`` boots over the network."""
        client = self.at_boot(mac, uuid)
        boots = BootDecision.CLIENT if client is None else client.boots
        return boot_decision(boots=boots, known=client is not None)

    def at_boot(self, mac: str, uuid: str) -> Client | None:
        """The machine whose firmware asks to boot; None: never met."""
        with self.lock:
            name = find_at_boot(self._known(), mac, uuid)
            return None if name is None else self._clients[name]

    def by_mac(self, mac: str) -> Client | None:
        """The machine that said last that it has a card with ``mac`` (lower case, colons)."""
        return max(
            (c for c in self.all() if mac in c.traits.macs), key=lambda c: c.last_seen, default=None
        )

    def _known(self) -> Iterable[tuple[str, Traits]]:
        return ((c.id, c.traits) for c in self._clients.values())

    def _require_room(self) -> None:
        if len(self._clients) >= MOST_MACHINES:
            raise Refused(
                f"{MOST_MACHINES} machines are known, no more are taken in",
                hint="is somebody inventing machines?",
            )

    def _new_id(self) -> str:
        while (name := f"m{secrets.token_hex(4)}") in self._clients:
            pass
        return name

    def _save(self, client: Client) -> None:
        self._database.save(_to_row(client))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _rate(client: Client, report: Report, seconds: float) -> float:
    """The smoothed rate, in bytes a second, after ``report``, ``seconds`` after the one before."""
    before = client.report
    moving = report.state in (ClientState.RECEIVING, ClientState.FILLING)
    if before is None or not moving or report.cast != before.cast:
        return 0.0
    got = report.multicast + report.unicast - before.multicast - before.unicast
    return RATE_MEMORY * client.rate + (1 - RATE_MEMORY) * max(got, 0) / seconds


def _from_row(row: MachineRow) -> Client:
    registration = Registration.from_json(row.registration)
    return Client(
        row.id,
        registration,
        traits(registration),
        row.token_hash,
        BootDecision(row.boots),
        row.orders_given,
        row.first_seen,
        row.last_seen,
    )


def _to_row(client: Client) -> MachineRow:
    return MachineRow(
        id=client.id,
        registration=client.registration.to_json(),
        token_hash=client.token_hash,
        boots=client.boots.value,
        orders_given=client.orders_given,
        first_seen=client.first_seen,
        last_seen=client.last_seen,
    )

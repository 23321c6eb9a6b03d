"""Every machine ever met, and the client that runs on it now: registrations, orders, reports.

Machines are few thousands at most, so all live in memory and the database is written through. One
lock guards them (shared with :mod:`castserver.casts`, whose changes span both); what coroutines read
without it (a token's session, the tuple of open orders) is replaced as a whole, never changed in place.
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
from castcore.control import AfterCast, ClientState, Order, Registered, Registration, Report, Standing
from castcore.errors import NotFound, Refused
from castcore.proof import Window
from castcore.words import machine_words

from castserver import machinetrust
from castserver.database import Database
from castserver.machineid import Traits, find_at_boot, find_machine, traits
from castserver.machinetrust import Approval, Claim, MachineTrust
from castserver.policy import boot_decision
from castserver.presented import Presented
from castserver.proofs import Proofs
from castserver.signal import Signal
from castserver.tables import MachineRow, MachineTrustRow

# A long poll waits at most this long, in seconds, so a living client is heard at least as often.
MOST_WAIT = 25.0
# Silent for longer than this, a client is gone: one long poll and ten seconds of a bad network.
GONE_AFTER = MOST_WAIT + 10.0
# Anybody on the network can register; this bounds what somebody who invents machines can make us hold.
MOST_MACHINES = 20_000
# What is kept of a report: a client that tells its whole journal each second must not fill our memory.
MOST_LOG_LINES = 500
LONGEST_LINE = 500
# Why one that registers is not let in, for its screen.
_WHY = {
    Standing.WAITING: "the operator has still to approve this machine",
    Standing.RIVAL: "another machine is connected that says it is this one; this one gets in when that"
    " is gone, or when the operator approves it",
    Standing.DENIED: "the operator has denied this machine",
}
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
    trust: MachineTrust = field(default_factory=MachineTrust)
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


@dataclass(frozen=True, eq=False)
class Session:
    """An admitted client: what proves its requests."""

    client: Client
    key: bytes
    window: Window = field(default_factory=Window)


class Clients:
    """The registry; implements ``castcore.boot.BootPolicy``.

    ``server`` is the SHA-256 of the TLS certificate that clients see. While ``approving``, machines that
    the operator has not approved are not let in (:mod:`castserver.approvals`).
    """

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.monotonic, server: bytes = b""
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.changed = Signal()
        self.proofs = Proofs(server, clock)
        self.approving = False
        self._database = database
        self._clients = {row.id: _from_row(row) for row in database.all(MachineRow)}
        self._present, self._count_due = 0, -math.inf
        self._sessions: dict[str, Session] = {}
        for row in database.all(MachineTrustRow):
            self._remember(self._clients[row.machine], row)

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

    def proven(self, shown: Presented) -> Client | None:
        """The client that makes a request, now heard again; None when its token is unknown.

        Raises Unproven.
        """
        session = self._sessions.get(_hash(shown.token)) if shown.token else None
        if session is None:
            return None
        self.proofs.require(shown, session.key, session.window)
        client = session.client
        client.heard = client.trust.heard = self.clock()
        return client

    def present(self) -> int:
        """How many clients are connected; counted once a second at most."""
        now = self.clock()
        if now >= self._count_due:
            with self.lock:
                self._present = sum(client.online(now) for client in self._clients.values())
            self._count_due = now + 1.0
        return self._present

    def session_of(self, client: Client) -> Session | None:
        """What it proves its requests by now; None: it is not admitted."""
        return self._sessions.get(client.token_hash)

    def register(self, registration: Registration, address: str = "") -> tuple[Client, Registered]:
        """Take in a client that has just started: a machine met before keeps its id.

        One that is not admitted (its answer has another standing) is to ask again. Raises Refused when
        there are too many machines.
        """
        seen, key = traits(registration), registration.key
        with self.lock:
            name = find_machine(self._known(), seen)
            client = self._new(registration, seen) if name is None else self._clients[name]
            now = self.clock()
            how = machinetrust.standing(client.trust, key, now, approving=self.approving)
            token = ""
            if how is Standing.RIVAL or key in client.trust.denied_keys:
                self._turn_away(client, Claim(key, address, int(time.time()), now), how)
            else:
                token = self._receive(client, registration, seen, address, how)
        if how is not Standing.ADMITTED:
            self._find_code(client, key)
        self.changed.fire()
        nonce = self.proofs.nonce if token else ""
        why, clock = _WHY.get(how, ""), int(time.time())
        return client, Registered(client.id, token, nonce, how, why, clock)

    def _turn_away(self, client: Client, claim: Claim, how: Standing) -> None:
        """Another holds the identity; it is asked to give a sign of life, if it was not already."""
        trust = client.trust
        if how is Standing.DENIED:
            return
        trust.rivals = machinetrust.claimed(trust, claim)
        if trust.asked < trust.heard:
            trust.asked = claim.heard
        client.signal.fire()

    def _receive(
        self, client: Client, registration: Registration, seen: Traits, address: str, how: Standing
    ) -> str:
        """From now on the key of ``registration`` holds the machine; return its token, if admitted."""
        trust, new = client.trust, client.trust.key != registration.key
        self._end_session(client)
        client.registration, client.traits, client.last_seen = registration, seen, int(time.time())
        client.report, client.orders, client.rate, client.source = None, (), 0.0, False
        trust.key, trust.address, trust.left = registration.key, address, False
        trust.code = "" if new else trust.code
        trust.heard, trust.asked = self.clock(), -math.inf
        trust.rivals = machinetrust.without(trust.rivals, registration.key)
        trust.clock_off = registration.clock - int(time.time()) if registration.clock else 0
        token = ""
        if how is Standing.ADMITTED:
            token = secrets.token_urlsafe(32)
            client.token_hash, client.heard = _hash(token), self.clock()
            session = Session(client, bytes.fromhex(registration.key))
            self._sessions[client.token_hash] = session
        if token or new:
            self._clients[client.id] = client
            self.save_trust(client)
        return token

    def end_session(self, client: Client) -> None:
        """Its token counts for nothing any more: it has to register again."""
        with self.lock:
            self._end_session(client)
            self.save_trust(client)
        client.signal.fire()
        self.changed.fire()

    def _end_session(self, client: Client) -> None:
        if client.token_hash:
            self._sessions.pop(client.token_hash, None)
            client.token_hash, client.heard = "", -math.inf

    def save_trust(self, client: Client) -> None:
        """Write what is remembered of the machine's trust, with the machine."""
        self._database.save(_to_row(client), _trust_row(client))

    def _find_code(self, client: Client, key: str) -> None:
        """The four words of a key that waits: without the lock, they take their time."""
        code = machine_words(bytes.fromhex(key))
        with self.lock:
            machinetrust.coded(client.trust, key, code)

    def _remember(self, client: Client, row: MachineTrustRow) -> None:
        client.trust.approval, client.trust.key = Approval(row.approval), row.key
        if client.token_hash and row.key:
            self._sessions[client.token_hash] = Session(client, bytes.fromhex(row.key))
            # It was here before we were started anew: nobody takes its place before it can speak.
            client.trust.heard = self.clock()

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
            client.trust.left = report.state is ClientState.REBOOTING
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

    def _new(self, registration: Registration, seen: Traits) -> Client:
        self._require_room()
        now = int(time.time())
        return Client(self._new_id(), registration, seen, "", BootDecision.CLIENT, 0, now, now)

    def _new_id(self) -> str:
        while (name := f"m{secrets.token_hex(4)}") in self._clients:
            pass
        return name

    def _save(self, client: Client) -> None:
        self._database.save(_to_row(client))


def holder_code(client: Client) -> str:
    """The four words of the key that holds the machine's identity, "" for none; may take 10 ms."""
    trust = client.trust
    if trust.key and not trust.code:
        trust.code = machine_words(bytes.fromhex(trust.key))
    return trust.code


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


def _trust_row(client: Client) -> MachineTrustRow:
    trust, now = client.trust, int(time.time())
    return MachineTrustRow(machine=client.id, approval=trust.approval.value, key=trust.key, changed=now)


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

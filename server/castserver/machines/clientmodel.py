"""One machine and the client that runs on it, as a value in memory and as rows of the database."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from castcore.boot import BootDecision
from castcore.control import AfterCast, ClientState, Order, Registration, Report
from castcore.proof import Window
from castcore.words import machine_words

from castserver.database.tables import MachineCardRow, MachineRow, MachineTrustRow
from castserver.machines.machinecard import NO_CARD, Card
from castserver.machines.machineid import Traits, traits
from castserver.machines.machinetrust import Approval, MachineTrust
from castserver.signal import Signal

# A long poll waits at most this long, in seconds, so a living client is heard at least as often.
MOST_WAIT = 25.0
# Silent for longer than this, a client is gone: one long poll and ten seconds of a bad network.
GONE_AFTER = MOST_WAIT + 10.0
# How much of a rate's old value survives one report (they come about once a second).
RATE_MEMORY = 0.7


@dataclass(eq=False)
class Client:
    """A machine, and its client while one is connected. Times without a unit are Unix seconds.

    ``heard`` and ``reported`` are the monotonic times of its last request and its last report; ``rate``
    is the bytes a second it receives; ``capture`` is the id of the one it is at, or has still to begin;
    ``source``: its disks were captured since it started. ``met`` is False for an entry that somebody
    made by hand and no machine has claimed. One that was ``removed`` (when; 0: it was not) is kept for
    the history that names it, and is itself again when it registers.
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
    card: Card = NO_CARD
    met: bool = True
    removed: int = 0
    trust: MachineTrust = field(default_factory=MachineTrust)
    signal: Signal = field(default_factory=Signal)

    def online(self, now: float) -> bool:
        """Whether the client was heard lately; ``now`` is monotonic seconds."""
        return now - self.heard <= GONE_AFTER

    @property
    def label(self) -> str:
        """A name for people: the one it was given, else its model and its first MAC."""
        if self.card.name:
            return self.card.name
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


def holder_code(client: Client) -> str:
    """The four words of the key that holds the machine's identity, "" for none; may take 10 ms."""
    trust = client.trust
    if trust.key and not trust.code:
        trust.code = machine_words(bytes.fromhex(trust.key))
    return trust.code


def smoothed(client: Client, report: Report, seconds: float) -> float:
    """The smoothed rate, in bytes a second, after ``report``, ``seconds`` after the one before."""
    before = client.report
    moving = report.state in (ClientState.RECEIVING, ClientState.FILLING)
    if before is None or not moving or report.cast != before.cast:
        return 0.0
    got = report.multicast + report.unicast - before.multicast - before.unicast
    return RATE_MEMORY * client.rate + (1 - RATE_MEMORY) * max(got, 0) / seconds


def client_from_row(row: MachineRow) -> Client:
    """The machine that ``row`` holds, without its card and its trust."""
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


def trust_row(client: Client) -> MachineTrustRow:
    """What is remembered of the machine's trust, as a row."""
    trust, now = client.trust, int(time.time())
    return MachineTrustRow(
        machine=client.id,
        approval=trust.approval.value,
        key=trust.key,
        denied_keys=list(trust.denied_keys),
        changed=now,
    )


def read_trust(client: Client, row: MachineTrustRow) -> None:
    """Let ``client`` have what ``row`` holds of the trust in it."""
    client.trust.approval, client.trust.key = Approval(row.approval), row.key
    client.trust.denied_keys = tuple(row.denied_keys)


def client_row(client: Client) -> MachineRow:
    """``client`` as a row."""
    return MachineRow(
        id=client.id,
        registration=client.registration.to_json(),
        token_hash=client.token_hash,
        boots=client.boots.value,
        orders_given=client.orders_given,
        first_seen=client.first_seen,
        last_seen=client.last_seen,
    )


def read_card(client: Client, row: MachineCardRow | None) -> None:
    """Let ``client`` have what ``row`` holds of it, if there is one."""
    if row is not None:
        client.card = Card(row.name, tuple(row.tags), tuple(row.groups), row.note)
        client.met, client.removed = row.met, row.removed or 0


def card_row(client: Client, card: Card | None = None) -> MachineCardRow:
    """The row of ``client`` with ``card``, or with the one that it has."""
    card = client.card if card is None else card
    return MachineCardRow(
        machine=client.id,
        name=card.name,
        note=card.note,
        tags=list(card.tags),
        groups=list(card.groups),
        met=client.met,
        removed=client.removed or None,
    )

"""Every machine ever met or named, and the client that runs on it now: registrations, orders, reports.

Machines are few thousands at most, so all live in memory and the database is written through. One
lock guards them (shared with :mod:`castserver.casts.casts`, whose changes span both); what coroutines
read without it (a token's session, the tuple of open orders) is replaced as a whole, never changed in
place.
"""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from castcore.boot import BootDecision
from castcore.control import ClientState, Order, Registered, Registration, Report, Standing
from castcore.errors import NotFound, Refused
from castcore.words import machine_words

from castserver.casts.policy import boot_decision, boot_mac
from castserver.database.database import Database
from castserver.database.tables import Base, MachineCardRow, MachineRow, MachineTrustRow
from castserver.machines import machinetrust
from castserver.machines.clientmodel import (
    GONE_AFTER,
    MOST_WAIT,
    Client,
    Session,
    card_row,
    client_from_row,
    client_row,
    holder_code,
    read_card,
    read_trust,
    smoothed,
    trust_row,
)
from castserver.machines.machinecard import Card
from castserver.machines.machinecards import CardIndex
from castserver.machines.machinehistory import names
from castserver.machines.machineid import (
    NO_TRAITS,
    Traits,
    claimable,
    find_at_boot,
    find_entry,
    find_machine,
    traits,
)
from castserver.machines.machinetrust import Claim
from castserver.machines.presented import Presented
from castserver.machines.proofs import Proofs
from castserver.seldom import Seldom
from castserver.signal import Signal

__all__ = ["GONE_AFTER", "MOST_WAIT", "Client", "Clients", "Session", "holder_code"]

# Anybody on the network can register; this bounds what somebody who invents machines can make us hold.
MOST_MACHINES = 20_000
# What is kept of a report: a client that tells its whole journal each second must not fill our memory.
MOST_LOG_LINES = 500
LONGEST_LINE = 500
log = logging.getLogger("fleetcast")


class Clients:
    """The registry; implements ``castcore.boot.BootPolicy``.

    ``server`` is the SHA-256 of the TLS certificate that clients see. While ``approving``, machines that
    the operator has not approved are not let in (:mod:`castserver.machines.approvals`).
    """

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.monotonic, server: bytes = b""
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.changed = Signal()
        self.proofs = Proofs(server, clock)
        self.approving = False
        self._told = Seldom(600.0, clock)
        self._database = database
        self._clients = {row.id: client_from_row(row) for row in database.all(MachineRow)}
        for card in database.all(MachineCardRow):
            read_card(self._clients[card.machine], card)
        self._cards = CardIndex(self._clients.values())
        self._sessions: dict[str, Session] = {}
        for row in database.all(MachineTrustRow):
            self._remember(self._clients[row.machine], row)

    def all(self) -> list[Client]:
        """Every machine but those removed, in the order of their first registration."""
        with self.lock:
            return sorted(
                (c for c in self._clients.values() if not c.removed), key=lambda c: c.first_seen
            )

    def get(self, name: str) -> Client:
        """The machine with id ``name``, also one that was removed. Raises NotFound."""
        found = self._clients.get(name)
        if found is None:
            raise _unknown(name)
        return found

    def find(self, text: str) -> Client:
        """The machine with the id, name or MAC ``text``. Raises NotFound, Refused (several have it)."""
        with self.lock:
            found = self._cards.by_name(text.strip()) or self._clients.get(text.strip())
            if found is not None and not found.removed:
                return found
            mac = boot_mac(text)
            have = [c for c in self.all() if mac and mac in c.traits.macs]
        if not have:
            raise _unknown(text)
        if len(have) > 1:
            these = ", ".join(f"{c.id} ({c.label})" for c in have[:10])
            raise Refused(
                f"{len(have)} machines had the card {mac}: {these}", hint="say which by its id"
            )
        return have[0]

    def find_met(self, text: str) -> Client | None:
        """The same; None for the MAC of a machine that nobody knows."""
        try:
            return self.find(text)
        except NotFound:
            if boot_mac(text):
                return None
            raise

    def has(self, name: str) -> bool:
        """Whether a machine, or one removed, has the id ``name``."""
        return name in self._clients

    def by_name(self, name: str) -> Client | None:
        """The machine that has this name, whatever its case and width."""
        return self._cards.by_name(name)

    def keep(self, *cards: tuple[Client, Card], gone: Sequence[Client] = ()) -> None:
        """Give machines, known or new ones, these cards, and forget those that are ``gone``; all or
        nothing, durably. Raises Refused (too many machines), NoSpace, DiskFailed.
        """
        with self.lock:
            self._require_room(sum(client.id not in self._clients for client, _ in cards))
            known = self._clients.get
            new = [client for client, _ in cards if known(client.id) is not client]
            rows: list[Base] = [row(client) for client in new for row in (client_row, trust_row)]
            rows += [card_row(client, card) for client, card in cards]
            own = (card_row, trust_row, client_row)
            ended = [row(client) for client in gone for row in own]
            self._database.save(*rows, gone=ended)
            for client in gone:
                del self._clients[client.id]
            for client, card in cards:
                client.card = card
                self._clients[client.id] = client
            self._cards = CardIndex(self._clients.values())
        self.changed.fire()

    def has_history(self, client: Client) -> bool:
        """Whether the database holds anything that names ``client``."""
        return names(self._database, client.id)

    def entries_for(self, client: Client) -> list[Client]:
        """The entries whose MAC ``client`` has, and that it did not claim: a MAC does not say whose."""
        if not client.met:
            return []
        near = self._cards.entries_with(client.traits.macs)
        return [self._clients[name] for name in claimable(near, client.traits)]

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
            name = self._match(seen)
            client = self._new(registration, seen) if name is None else self._clients[name]
            now = self.clock()
            how = machinetrust.standing(client.trust, key, now, approving=self.approving)
            token = ""
            if how is Standing.RIVAL or key in client.trust.denied_keys:
                self._turn_away(client, Claim(key, address, int(time.time()), now), how)
            else:
                token = self._receive(client, registration, seen, address, how)
        if how is not Standing.ADMITTED:
            self._find_codes(client)
        self.changed.fire()
        nonce = self.proofs.nonce if token else ""
        why, clock = machinetrust.WHY.get(how, ""), int(time.time())
        return client, Registered(client.id, token, nonce, how, why, clock)

    def _turn_away(self, client: Client, claim: Claim, how: Standing) -> None:
        """Another holds the identity; it is asked to give a sign of life, if it was not already."""
        trust = client.trust
        if how is Standing.DENIED:
            return
        if self._told.due(f"{client.id} {claim.key}"):
            where = (client.id, client.label, trust.address, claim.address)
            said = "two machines say they are %s (%s): %s is let in, %s is not"
            log.warning(said, *where, extra={"machine": client.id})
        trust.rivals = machinetrust.claimed(trust, claim)
        if trust.asked < trust.heard:
            trust.asked = claim.heard
        client.signal.fire()

    def _receive(
        self, client: Client, registration: Registration, seen: Traits, address: str, how: Standing
    ) -> str:
        """From now on the key of ``registration`` holds the machine; return its token, if admitted."""
        trust, new = client.trust, client.trust.key != registration.key
        found = client.removed > 0 or not client.met
        if not client.met:
            client.first_seen = int(time.time())
        client.met, client.removed = True, 0
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
        if token or new or found:
            self._clients[client.id] = client
            self._database.save(client_row(client), trust_row(client), card_row(client))
        if found:
            self._cards = CardIndex(self._clients.values())
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
        self._database.save(client_row(client), trust_row(client))

    def _find_codes(self, client: Client) -> None:
        """The four words of the holder and its rivals: without the lock, that is slow."""
        for key in machinetrust.uncoded(client.trust):
            code = machine_words(bytes.fromhex(key))
            with self.lock:
                machinetrust.coded(client.trust, key, code)

    def _remember(self, client: Client, row: MachineTrustRow) -> None:
        read_trust(client, row)
        if client.token_hash and row.key:
            self._sessions[client.token_hash] = Session(client, bytes.fromhex(row.key))
            # It was here before we were started anew: nobody takes its place before it can speak.
            client.trust.heard = self.clock()

    def order(self, client: Client, order: Order) -> None:
        """Give ``client`` one more order, numbered here; it replaces those it has not fetched yet."""
        with self.ordering([client], order) as rows:
            self._database.save(*rows)

    @contextmanager
    def ordering(self, clients: Sequence[Client], order: Order) -> Iterator[Sequence[Base]]:
        """The same for each of ``clients``, where whoever calls saves the rows that say so, with what
        else is so by that.
        """
        with self.lock:
            yield [client_row(replace(c, orders_given=c.orders_given + 1)) for c in clients]
            for client in clients:
                client.orders_given += 1
                client.orders = (replace(order, number=client.orders_given),)
        for client in clients:
            client.signal.fire()
        self.changed.fire()

    def note(self, client: Client, report: Report) -> Report:
        """Remember the latest ``report`` of ``client``; return it cut down to what is kept of one."""
        lines = tuple(line[:LONGEST_LINE] for line in report.logs[-MOST_LOG_LINES:])
        report = replace(report, message=report.message[:LONGEST_LINE], logs=())
        with self.lock:
            client.logs = lines or client.logs
            now = self.clock()
            client.rate = smoothed(client, report, max(now - client.reported, 0.1))
            client.report, client.reported = report, now
            client.trust.left = report.state is ClientState.REBOOTING
            client.last_seen = int(time.time())
        self.changed.fire()
        return report

    def set_boots(self, client: Client, boots: BootDecision) -> None:
        """Decide what the machine boots over the network from now on."""
        with self.booting([client], boots) as rows:
            if rows:
                self._database.save(*rows)

    @contextmanager
    def booting(self, clients: Sequence[Client], boots: BootDecision) -> Iterator[Sequence[Base]]:
        """The same of each, where whoever calls saves the rows that say so, with what else is so by
        that.
        """
        with self.lock:
            yield [client_row(replace(c, boots=boots)) for c in clients if c.boots is not boots]
            for client in clients:
                client.boots = boots
        self.changed.fire()

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """What the machine with ``mac`` and firmware ``uuid`` boots over the network."""
        client = self.at_boot(mac, uuid)
        boots = BootDecision.CLIENT if client is None else client.boots
        return boot_decision(boots=boots, known=client is not None)

    def at_boot(self, mac: str, uuid: str) -> Client | None:
        """The machine whose firmware asks to boot; None: never met."""
        with self.lock:
            entry = replace(NO_TRAITS, macs=frozenset({mac.lower()}))
            name = find_at_boot(self._known(), mac, uuid)
            name = name or find_entry(self._cards.entries_with(entry.macs), entry)
            return None if name is None else self._clients[name]

    def by_mac(self, mac: str) -> Client | None:
        """The machine that said last that it has a card with ``mac`` (lower case, colons)."""
        return max(
            (c for c in self.all() if mac in c.traits.macs), key=lambda c: c.last_seen, default=None
        )

    def _match(self, seen: Traits) -> str | None:
        name = find_machine(self._known(), seen)
        if name is not None and not self._clients[name].removed:
            return name
        return find_entry(self._cards.entries_with(seen.macs), seen) or name

    def _known(self) -> Iterable[tuple[str, Traits]]:
        # Who was removed comes last: an entry made since is for the same machine.
        known = sorted(self._clients.values(), key=lambda c: c.removed > 0)
        return ((c.id, c.traits) for c in known if c.met or c.traits.uuid)

    def _require_room(self, more: int = 1) -> None:
        if len(self._clients) + more > MOST_MACHINES:
            raise Refused(
                f"{MOST_MACHINES} machines are known, no more are taken in",
                hint="is somebody inventing machines?",
            )

    def _new(self, registration: Registration, seen: Traits) -> Client:
        self._require_room()
        now = int(time.time())
        return Client(self.new_id(), registration, seen, "", BootDecision.CLIENT, 0, now, now)

    def new_id(self, *, besides: Collection[str] = ()) -> str:
        """An id that no machine has, and that is none of those ``besides``."""
        while (name := f"m{secrets.token_hex(4)}") in self._clients or name in besides:
            pass
        return name


def _unknown(text: str) -> NotFound:
    return NotFound(f"there is no machine {text[:80]!r}", hint="`fleetcast machines list` shows all")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

"""What the operator does with machines: add one by hand, name, mark, remove, say which is which."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from castcore.boot import BootDecision
from castcore.errors import InUse, Refused

from castserver.casts.casts import Casts
from castserver.machines.clients import Client, Clients
from castserver.machines.machinecard import NO_CARD, Card, checked, checked_words, key
from castserver.machines.machineentry import GIVE, Identity, same_entry
from castserver.machines.machineid import traits
from castserver.machines.machinetrust import MachineTrust


@dataclass(frozen=True, slots=True)
class Marks:
    """Tags and groups that machines get and lose."""

    tags: tuple[str, ...] = ()
    no_tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    no_groups: tuple[str, ...] = ()


def entry(name: str, identity: Identity, card: Card) -> Client:
    """A machine added by hand with the id ``name``, not taken in yet."""
    seen, now = identity.registration, int(time.time())
    return Client(
        name,
        seen,
        traits(seen),
        "",
        BootDecision.CLIENT,
        0,
        now,
        0,
        card=card,
        met=False,
    )


def add(clients: Clients, identity: Identity, card: Card) -> Client:
    """Take in a machine before it was ever met. Raises Refused: it is known, or its name is taken."""
    if not identity.macs and not identity.uuid:
        raise Refused("a machine that was never met is known by nothing", hint=GIVE)
    with clients.lock:
        made = entry(clients.new_id(), identity, _free(clients, checked(card)))
        for known in clients.all():
            if same_entry(known.traits, made.traits, met=known.met):
                raise Refused(
                    f"that is machine {known.id} ({known.label}) already",
                    hint=f"`fleetcast machines rename {known.id} NAME` names it",
                )
        clients.keep((made, made.card))
    return made


def change(clients: Clients, client: Client, card: Card) -> None:
    """Give ``client`` another card. Raises Refused: its name is taken, or cannot be one."""
    with clients.lock:
        clients.keep((client, _free(clients, checked(card), client)))


def mark(clients: Clients, machines: Iterable[Client], marks: Marks) -> None:
    """Give tags and groups to ``machines`` and take some away, of all or of none. Raises Refused."""
    with clients.lock:
        cards = [
            (
                client,
                replace(
                    client.card,
                    tags=_words(clients, "tag", client.card.tags, marks.tags, marks.no_tags),
                    groups=_words(clients, "group", client.card.groups, marks.groups, marks.no_groups),
                ),
            )
            for client in machines
        ]
        clients.keep(*cards)


def remove(clients: Clients, casts: Casts, client: Client) -> None:
    """Forget a machine. Raises InUse: it is in a cast or captured, or our client runs on it."""
    with clients.lock:
        _require_free(casts, client)
        if client.online(clients.clock()):
            raise InUse(
                f"our client runs on machine {client.id}, which would register again at once",
                hint=f"`fleetcast machines power-off {client.id}` first",
            )
        if not clients.has_history(client):
            clients.end_session(client)
            clients.keep(gone=[client])
            return
        clients.end_session(client)
        gone = replace(client, boots=BootDecision.CLIENT, removed=int(time.time()))
        gone.trust = MachineTrust()
        clients.keep((gone, NO_CARD))


def claim(clients: Clients, casts: Casts, client: Client, wanted: Client) -> None:
    """``client`` is the machine that the entry ``wanted`` was made for. Raises Refused, InUse."""
    with clients.lock:
        if wanted.met or not client.met:
            raise Refused(
                f"machine {(client if wanted.met else wanted).id} was "
                f"{'met' if wanted.met else 'not met'} itself",
                hint="name the machine first, then the entry that was added by hand",
            )
        _require_free(casts, wanted)
        clients.keep((client, wanted.card), gone=[wanted])


def spelled(what: str, words: Sequence[str], others: Iterable[Card]) -> tuple[str, ...]:
    """``words`` checked, each as one of the ``others`` spells it already. Raises Refused."""
    known = {key(w): w for card in others for w in (card.tags if what == "tag" else card.groups)}
    return checked_words(what, [known.get(key(w), w) for w in checked_words(what, words)])


def _free(clients: Clients, card: Card, client: Client | None = None) -> Card:
    """``card`` as ``client`` can have it. Raises Refused."""
    taken = clients.by_name(card.name) if card.name else None
    if taken is not None and taken is not client:
        raise Refused(f"machine {taken.id} is called {taken.card.name} already", hint="choose another")
    others = [c.card for c in clients.all() if c is not client]
    return replace(
        card, tags=spelled("tag", card.tags, others), groups=spelled("group", card.groups, others)
    )


def _words(
    clients: Clients, what: str, had: Sequence[str], more: Sequence[str], less: Sequence[str]
) -> tuple[str, ...]:
    gone = {key(word) for word in checked_words(what, less)}
    kept = [word for word in had if key(word) not in gone]
    return checked_words(what, [*kept, *spelled(what, more, (c.card for c in clients.all()))])


def _require_free(casts: Casts, client: Client) -> None:
    busy = casts.busy(client)
    awaited = [c.id for c in casts.all() if not c.state.ended and client.id in (c.rules.targets or ())]
    if busy or awaited:
        cast = busy or awaited[0]
        raise InUse(
            f"machine {client.id} takes part in cast {cast}",
            hint=f"`fleetcast casts cancel {cast}`, or wait for its end",
        )
    if client.capture:
        raise InUse(f"machine {client.id} is being captured", hint="cancel that capture first")

"""Which machine has which name, and which entries wait for a MAC: found at once; cards as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from castserver.machinecard import Card, key
from castserver.machineid import Traits
from castserver.tables import MachineCardRow

if TYPE_CHECKING:
    from castserver.clients import Client


class CardIndex:
    """The machines by their names, and the entries by their MACs."""

    def __init__(self, machines: Iterable[Client]) -> None:
        self._names: dict[str, Client] = {}
        self._entries: dict[str, list[Client]] = defaultdict(list)
        for machine in machines:
            if machine.card.name:
                self._names[key(machine.card.name)] = machine
            for mac in machine.traits.macs if not machine.met and not machine.removed else ():
                self._entries[mac].append(machine)

    def by_name(self, name: str) -> Client | None:
        """The machine with this name, whatever its case and width."""
        return self._names.get(key(name))

    def entries_with(self, macs: Iterable[str]) -> list[tuple[str, Traits]]:
        """The entries that have one of ``macs``, each once."""
        found = {c.id: c.traits for mac in macs for c in self._entries.get(mac, ())}
        return list(found.items())


def read_card(client: Client, row: MachineCardRow | None) -> None:
    """Let ``client`` have what ``row`` holds of it, if there is one."""
    if row is not None:
        client.card = Card(row.name, tuple(row.tags), tuple(row.groups), row.note)
        client.met, client.removed = row.met, row.removed or 0


def card_row(client: Client, card: Card) -> MachineCardRow:
    """The row of ``client`` with ``card``."""
    return MachineCardRow(
        machine=client.id,
        name=card.name,
        note=card.note,
        tags=list(card.tags),
        groups=list(card.groups),
        met=client.met,
        removed=client.removed or None,
    )

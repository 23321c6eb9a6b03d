"""Which machine has which name, and which entries wait for a MAC: found at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from castserver.machines.clientmodel import Client
from castserver.machines.machinecard import key
from castserver.machines.machineid import Traits


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

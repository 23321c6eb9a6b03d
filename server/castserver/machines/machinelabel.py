"""What people call a machine of which only the id is kept."""

from __future__ import annotations

from castcore.errors import NotFound

from castserver.machines.clients import Clients


def label_of(clients: Clients, machine: str) -> str:
    """The name for people of the machine with this id; the id when it is not known any more."""
    try:
        return clients.get(machine).label
    except NotFound:
        return machine

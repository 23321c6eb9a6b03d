"""Which machines the list shows, in which order: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from castserver.api.views import ClientView
from castserver.machines.machinecard import key

# What one page shows; who invents machines must not fill it.
MOST_ROWS = 1000


@dataclass(frozen=True)
class Wanted:
    """What was searched for; "" is all. ``text`` is a part of what is known of a machine."""

    text: str = ""
    group: str = ""
    tag: str = ""
    state: str = ""


def wanted_rows(machines: Iterable[ClientView], wanted: Wanted) -> list[ClientView]:
    """Those of ``machines`` that are ``wanted``, in the order of `by_name`."""
    return by_name(machine for machine in machines if _is_wanted(machine, wanted))


def by_name(machines: Iterable[ClientView]) -> list[ClientView]:
    """The named ones first, by name, PC2 before PC10; the others as they came."""
    return sorted(machines, key=lambda m: (not m.name, _in_order(m.name), m.first_seen))


def _in_order(name: str) -> tuple[str | int, ...]:
    # Texts and numbers take turns, so that like is compared with like.
    return tuple(int(part) if n % 2 else part for n, part in enumerate(re.split(r"(\d+)", key(name))))


def _is_wanted(machine: ClientView, wanted: Wanted) -> bool:
    return (
        key(wanted.text.strip()) in _text(machine)
        and (not wanted.group or key(wanted.group) in map(key, machine.groups))
        and (not wanted.tag or key(wanted.tag) in map(key, machine.tags))
        and wanted.state in ("", machine.state)
    )


def _text(machine: ClientView) -> str:
    facts = machine.machine
    macs = (nic.mac for nic in machine.nics)
    about = (machine.name, machine.client, machine.note, *machine.groups, *machine.tags, *macs)
    return key("\n".join((*about, facts.vendor, facts.product, facts.serial, facts.uuid)))

"""Which machines somebody means who names some, a group, a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from castcore.errors import NotFound
from pydantic import Field

from castserver.machines.clients import Client, Clients
from castserver.machines.machinecard import LONGEST_WORD, MOST_WORDS, key

Words = Annotated[
    list[Annotated[str, Field(max_length=LONGEST_WORD)]], Field(min_length=1, max_length=MOST_WORDS)
]


def targeted(
    clients: Clients,
    names: Sequence[str] | None,
    groups: Sequence[str] | None,
    tags: Sequence[str] | None,
) -> frozenset[str] | None:
    """The ids of the machines ``names`` (ids, names or MACs), and of those in one of ``groups`` that
    have every one of ``tags``; None when nothing is named: every machine.

    Who joins a group later is none of them. Raises NotFound (also a group or tag that no machine has),
    Refused.
    """
    if names is None and groups is None and tags is None:
        return None
    with clients.lock:
        found = {clients.find(name).id for name in names or ()}
        if groups or tags:
            found |= {c.id for c in _marked(clients.all(), groups or (), tags or ())}
    return frozenset(found)


def _marked(machines: list[Client], groups: Sequence[str], tags: Sequence[str]) -> list[Client]:
    have = [
        (c, {key(group) for group in c.card.groups}, {key(tag) for tag in c.card.tags}) for c in machines
    ]
    for group in groups:
        if not any(key(group) in in_groups for _, in_groups, _ in have):
            raise NotFound(
                f"no machine is in group {group!r}", hint="`fleetcast machines groups` lists all"
            )
    for tag in tags:
        if not any(key(tag) in tagged for _, _, tagged in have):
            raise NotFound(
                f"no machine has the tag {tag!r}", hint="`fleetcast machines groups` lists all"
            )
    wanted, needed = {key(group) for group in groups}, {key(tag) for tag in tags}
    found = [
        c for c, in_groups, tagged in have if (not wanted or wanted & in_groups) and needed <= tagged
    ]
    if not found:
        raise NotFound(
            f"no machine of {' or '.join(groups) or 'all'} has the tag {' and '.join(tags)}",
            hint="`fleetcast machines list` shows who has which",
        )
    return found

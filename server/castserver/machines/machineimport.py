"""What a file of machines would do to the register: the plan, or everything that is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from castserver.machines.clients import Client
from castserver.machines.machinecard import BETWEEN, NO_CARD, Card, key
from castserver.machines.machinecsv import (
    COLUMNS,
    GROUPS,
    ID,
    MACS,
    NAME,
    NOTE,
    SERIAL,
    TAGS,
    UUID,
    Problem,
    Sheet,
)
from castserver.machines.machineentry import GIVE, Identity, identity_of, same_entry
from castserver.machines.machineid import Traits, same_uuid, swapped, traits
from castserver.machines.machinerows import Line, understood


class Action(StrEnum):
    """What a line does."""

    ADD = "add"
    CHANGE = "change"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Change:
    """What one line does to a machine: ``client`` is None when it is added, under ``id`` if not "".

    ``known`` is by what it is known, ``identity`` by what it will be: other than that only of an entry.
    """

    line: int
    id: str
    client: Client | None
    card: Card
    known: Identity
    identity: Identity

    @property
    def action(self) -> Action:
        """What this comes to."""
        if self.client is None:
            return Action.ADD
        return Action.CHANGE if self.differences() else Action.SAME

    def differences(self) -> dict[str, tuple[str, str]]:
        """What was and what will be, by column."""
        had = self.client.card if self.client is not None else NO_CARD
        was, will = _cells(had, self.known), _cells(self.card, self.identity)
        return {column: (was[column], will[column]) for column in will if was[column] != will[column]}


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What a file does; nothing is done while there is a problem."""

    sheet: Sheet
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]


def plan(sheet: Sheet, machines: Sequence[Client], removed: Callable[[str], bool]) -> ImportPlan:
    """What ``sheet`` does to ``machines``; ``removed``: whether an id was one's that was removed."""
    planner = _Planner(machines, list(sheet.problems))
    for row in sheet.rows:
        line, problems = understood(row)
        if problems:
            planner.problems += problems
        else:
            planner.take(line)
    planner.check_names()
    planner.check_identities(removed)
    problems = sorted(planner.problems, key=lambda p: (p.line, _place(p.column)))
    return ImportPlan(sheet, tuple(planner.changes), tuple(problems))


class _Planner:
    """The lines, one after the other, over the machines that are known."""

    def __init__(self, machines: Sequence[Client], problems: list[Problem]) -> None:
        self.problems = problems
        self.changes: list[Change] = []
        self._machines = machines
        self._by_id = {c.id: c for c in machines}
        self._by_name = {key(c.card.name): c for c in machines if c.card.name}
        self._known = _Known((c.id, c.traits, c.met) for c in machines)
        self._lines: dict[str, int] = {}

    def take(self, line: Line) -> None:
        """One line."""
        client, problem = self._found(line)
        said = line.identity
        if problem is None and client is None and not (said.macs or said.uuid):
            column = ID if line.id else NAME
            problem = Problem(line.number, column, f"no such machine is known; to add one, {GIVE}")
        problem = problem or self._first(line, client) or _contradiction(line, client)
        if problem is not None:
            self.problems.append(problem)
            return
        known = identity_of(client.registration) if client is not None else Identity()
        identity = known
        if client is None or not client.met:
            identity = Identity(
                said.macs or known.macs, said.uuid or known.uuid, said.serial or known.serial
            )
        had = client.card if client is not None else NO_CARD
        name = client.id if client is not None else line.id
        self.changes.append(Change(line.number, name, client, line.on(had), known, identity))

    def check_names(self) -> None:
        """A name must be of one machine, when all lines are done."""
        names = {c.id: (c.card.name, 0) for c in self._machines}
        names |= {_owner(c): (c.card.name, c.line) for c in self.changes}
        owners: dict[str, str] = {}
        for owner, (name, line) in sorted(names.items(), key=lambda item: item[1][1]):
            first = owners.setdefault(key(name), owner)
            if name and first != owner:
                what = f"{name} is the name of {_called(first, names[first][1])} too"
                self.problems.append(Problem(line, NAME, what))

    def check_identities(self, removed: Callable[[str], bool]) -> None:
        """No entry may be known as another machine is."""
        changed = [c for c in self.changes if c.identity != c.known]
        for change in changed:
            self._known.drop(change.id)
        for change in changed:
            wanted = traits(change.identity.registration)
            others = self._known.like(wanted)
            if others:
                column = UUID if wanted.uuid else MACS
                self._wrong(change.line, column, f"that is {_named(others)} already")
            if change.client is None and change.id and removed(change.id):
                self._wrong(change.line, ID, f"{change.id} was removed: leave it empty")
            self._known.put(_owner(change), wanted, met=False)

    def _found(self, line: Line) -> tuple[Client | None, Problem | None]:
        """The machine that a line is of; None: a new one."""
        said = line.identity
        if line.id:
            return self._by_id.get(line.id), None
        if not (said.macs or said.uuid):
            return self._by_name.get(key(line.name)), None
        like = self._known.like(traits(said.registration))
        if len(like) > 1:
            column = UUID if said.uuid else MACS
            return None, Problem(line.number, column, f"it may be any of {_named(like)}: give the id")
        return (self._by_id[like[0]] if like else None), None

    def _first(self, line: Line, client: Client | None) -> Problem | None:
        name = client.id if client is not None else line.id
        if not name or (first := self._lines.setdefault(name, line.number)) == line.number:
            return None
        return Problem(line.number, "", f"it is of machine {name}, as line {first} is")

    def _wrong(self, line: int, column: str, what: str) -> None:
        self.problems.append(Problem(line, column, what))


class _Known:
    """Machines by what they are known by, so that a long file takes no square of its time."""

    def __init__(self, machines: Iterable[tuple[str, Traits, bool]]) -> None:
        self._all: dict[str, tuple[Traits, bool]] = {}
        self._places: dict[str, set[str]] = defaultdict(set)
        for name, had, met in machines:
            self.put(name, had, met=met)

    def put(self, name: str, had: Traits, *, met: bool) -> None:
        """``name`` is known by ``had``."""
        self._all[name] = had, met
        for place in _places(had):
            self._places[place].add(name)

    def drop(self, name: str) -> None:
        """``name`` is known by nothing."""
        if name in self._all:
            for place in _places(self._all.pop(name)[0]):
                self._places[place].discard(name)

    def like(self, wanted: Traits) -> list[str]:
        """Those that an entry known by ``wanted`` would be, in order."""
        near = {name for place in _places(wanted) for name in self._places.get(place, ())}
        return sorted(n for n in near if same_entry(self._all[n][0], wanted, met=self._all[n][1]))


def _contradiction(line: Line, client: Client | None) -> Problem | None:
    """A machine has said itself who it is, and no file says otherwise."""
    said = line.identity.uuid
    if client is None or not client.met or not said or not client.traits.uuid:
        return None
    if same_uuid(said, client.traits.uuid):
        return None
    return Problem(line.number, UUID, f"machine {client.id} says it is {client.traits.uuid}")


def _cells(card: Card, identity: Identity) -> dict[str, str]:
    return {
        NAME: card.name,
        MACS: BETWEEN.join(identity.macs),
        UUID: identity.uuid,
        SERIAL: identity.serial,
        GROUPS: BETWEEN.join(card.groups),
        TAGS: BETWEEN.join(card.tags),
        NOTE: card.note,
    }


def _places(had: Traits) -> list[str]:
    uuids = [min(had.uuid, swapped(had.uuid))] if had.uuid else []
    return [*uuids, *had.macs, *([f"serial {had.serial}"] if had.serial else [])]


def _place(column: str) -> int:
    return COLUMNS.index(column) if column in COLUMNS else -1


def _owner(change: Change) -> str:
    return change.id or f"line {change.line}"


def _called(owner: str, line: int) -> str:
    return f"line {line}" if line else f"machine {owner}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(n if n.startswith("line ") else f"machine {n}" for n in names[:5])

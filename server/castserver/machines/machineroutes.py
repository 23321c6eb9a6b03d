"""What the operator calls about the register of machines: add, name, mark, remove, import, history."""

import json
from typing import Annotated

from castcore.control import API
from castcore.errors import Refused
from fastapi import Body, Request
from pydantic import BaseModel, ConfigDict, Field

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.csvfile import CsvFile
from castserver.api.views import ClientView, ErrorView, Refusals, client_view
from castserver.machines import machinebook, machinecsv, machineimport
from castserver.machines.clients import MOST_MACHINES, Client
from castserver.machines.machinebook import Marks
from castserver.machines.machinecard import (
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_WORD,
    MOST_WORDS,
    Card,
    key,
)
from castserver.machines.machineentry import (
    LONGEST_SERIAL,
    MOST_MACS,
    Identity,
    checked_macs,
    checked_serial,
    checked_uuid,
    identity_of,
)
from castserver.machines.machineimport import Action, ImportPlan
from castserver.machines.machineviews import (
    DeployView,
    ImportView,
    MarksView,
    WriteView,
    deploys,
    history,
    import_view,
    marks_view,
)
from castserver.parts import ServerParts

routes = operator_routes("machines", "/machines")

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such machine"}}
_BUSY: Refusals = {
    409: {"model": ErrorView, "description": "It is in a cast, is captured, or our client runs on it"}
}
_LARGE: Refusals = {413: {"model": ErrorView, "description": "The file is too large"}}
_IMPORTS = frozenset({f"{API}/machines/import", f"{API}/machines/plan-import"})

Words = Annotated[list[Annotated[str, Field(max_length=LONGEST_WORD)]], Field(max_length=MOST_WORDS)]
File = Annotated[bytes, Body(media_type="text/csv")]


class NewMachine(BaseModel):
    """A machine to add before it is ever met; a MAC or a UUID is needed."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=LONGEST_NAME)
    macs: list[Annotated[str, Field(max_length=40)]] = Field([], max_length=MOST_MACS)
    uuid: str = Field("", max_length=40)
    serial: str = Field(
        "", max_length=LONGEST_SERIAL, description="tells machines apart whose boards share a UUID"
    )
    tags: Words = []
    groups: Words = []
    note: str = Field("", max_length=2 * LONGEST_NOTE)


class NewCard(BaseModel):
    """What a machine is called from now on; null leaves what is."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=LONGEST_NAME, description="empty: none")
    tags: Words | None = None
    groups: Words | None = None
    note: str | None = Field(None, max_length=2 * LONGEST_NOTE)


class NewMarks(BaseModel):
    """Tags and groups for many machines at a time."""

    model_config = ConfigDict(extra="forbid")

    machines: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1, max_length=MOST_MACHINES, description="ids, names or MACs"
    )
    add_tags: Words = []
    remove_tags: Words = []
    add_groups: Words = []
    remove_groups: Words = []


class ClaimedEntry(BaseModel):
    """The entry, added by hand, that stands for a machine."""

    model_config = ConfigDict(extra="forbid")

    entry: str = Field(max_length=64, description="its id, name or MAC")


def most_body(path: str) -> int | None:
    """What a request to ``path`` may hold, in bytes; None: it is no import."""
    return machinecsv.MOST_BYTES if path in _IMPORTS else None


@routes.post("", summary="Add a machine by hand", status_code=201)
def add(parts: Parts, body: NewMachine) -> ClientView:
    """It is claimed by the machine with its UUID, else by the first one never met that has its MAC."""
    identity = Identity(checked_macs(body.macs), checked_uuid(body.uuid), checked_serial(body.serial))
    card = Card(body.name, tuple(body.tags), tuple(body.groups), body.note)
    return _shown(parts, machinebook.add(parts.clients, identity, card))


@routes.put("/{machine}", summary="Name a machine, give it tags, groups, a note", responses=_MISSING)
def change(parts: Parts, machine: Name, body: NewCard) -> ClientView:
    """What is left out stays as it is."""
    given = body.model_dump(exclude_none=True)
    words = {field: tuple(given[field]) for field in ("tags", "groups") if field in given}
    with parts.clients.lock:
        found = parts.clients.find(machine)
        card = found.card
        machinebook.change(
            parts.clients,
            found,
            Card(
                given.get("name", card.name),
                words.get("tags", card.tags),
                words.get("groups", card.groups),
                given.get("note", card.note),
            ),
        )
    return _shown(parts, found)


@routes.post("/marks", summary="Give and take tags and groups of many machines", responses=_MISSING)
def mark(parts: Parts, body: NewMarks) -> list[ClientView]:
    """Of all of them or of none; the answer is these machines."""
    marks = Marks(
        tuple(body.add_tags),
        tuple(body.remove_tags),
        tuple(body.add_groups),
        tuple(body.remove_groups),
    )
    with parts.clients.lock:
        found = list({c.id: c for c in map(parts.clients.find, body.machines)}.values())
        machinebook.mark(parts.clients, found, marks)
    return [_shown(parts, client) for client in found]


@routes.get("/marks", summary="Every group and tag")
def marks(parts: Parts) -> MarksView:
    """With the number of machines that are in it, or have it."""
    return marks_view(parts.clients.all())


@routes.post("/{machine}/remove", summary="Forget a machine", responses=_MISSING | _BUSY)
def remove(parts: Parts, machine: Name) -> MarksView:
    """Its name, tags and groups end; casts and captures that name it stay as they were, and when it
    registers again it has its id and history back. The answer is the groups and tags that are left.
    """
    with parts.clients.lock:
        found = parts.clients.find(machine)
        machinebook.remove(parts.clients, parts.casts, found)
    parts.once.cancel(found)
    return marks(parts)


@routes.post(
    "/{machine}/claim", summary="Say that an entry stands for this machine", responses=_MISSING | _BUSY
)
def claim(parts: Parts, machine: Name, body: ClaimedEntry) -> ClientView:
    """For where a MAC alone does not say: the machine takes name, tags, groups and note of the entry."""
    with parts.clients.lock:
        found, entry = parts.clients.find(machine), parts.clients.find(body.entry)
        machinebook.claim(parts.clients, parts.casts, found, entry)
    parts.once.cancel(entry)
    return _shown(parts, found)


@routes.get("/export", summary="The register as a CSV file", response_class=CsvFile)
def export(parts: Parts) -> CsvFile:
    """UTF-8 with a byte order mark, commas, CRLF; `POST /machines/import` reads it back."""
    known = sorted(
        parts.clients.all(), key=lambda c: (not c.card.name, key(c.card.name), c.card.name, c.id)
    )
    data = machinecsv.write((c.id, identity_of(c.registration), c.card) for c in known)
    return CsvFile(data, headers={"Content-Disposition": 'attachment; filename="machines.csv"'})


@routes.post("/plan-import", summary="What a CSV file would do", responses=_LARGE)
def plan_import(parts: Parts, request: Request, file: File = b"") -> ImportView:
    """Every machine that would be added or changed, and everything that is wrong; nothing is done."""
    view = import_view(_planned(parts, machinecsv.read(file)))
    request.state.detail = json.dumps({"bytes": len(file), "problems": len(view.problems)})
    return view


@routes.post("/import", summary="Add and change machines by a CSV file", responses=_LARGE)
def import_file(parts: Parts, request: Request, file: File = b"") -> ImportView:
    """All of it or, when anything is wrong with it, nothing (403)."""
    sheet, before = machinecsv.read(file), _known(parts)
    planned = _planned(parts, sheet)
    with parts.clients.lock:
        if _known(parts) != before:
            planned = _planned(parts, sheet)
        view = import_view(planned)
        request.state.detail = json.dumps({"bytes": len(file), "add": view.add, "change": view.change})
        if planned.problems:
            first, more = planned.problems[0], len(planned.problems) - 1
            others = f" (and {more} more)" if more else ""
            raise Refused(
                f"nothing was imported: {first}{others}", hint="a dry run lists everything that is wrong"
            )
        _carry_out(parts, planned)
    return view


@routes.get("/deployed", summary="The deploy-target list")
def list_deployed(parts: Parts) -> list[DeployView]:
    """Every machine with what it was given last and proved, and what was tried since."""
    with parts.clients.lock:
        return deploys(parts.casts.all(), parts.clients.all())


@routes.get("/{machine}/history", summary="What a machine was given", responses=_MISSING)
def show_history(parts: Parts, machine: Name) -> list[WriteView]:
    """Its part in every cast, the newest first; by its id also of one that was removed."""
    clients = parts.clients
    with clients.lock:
        found = clients.get(machine) if clients.has(machine) else clients.find(machine)
        return history(parts.casts.all(), found)


def _shown(parts: ServerParts, client: Client) -> ClientView:
    with parts.clients.lock:
        return client_view(client, parts.clients, parts.boots, parts.once)


def _planned(parts: ServerParts, sheet: machinecsv.Sheet) -> ImportPlan:
    return machineimport.plan(sheet, parts.clients.all(), parts.clients.has)


def _known(parts: ServerParts) -> list[tuple[object, ...]]:
    """All that a plan goes by; planning takes a second, in which nobody is kept waiting."""
    return [(c.id, c.card, c.registration, c.met) for c in parts.clients.all()]


def _carry_out(parts: ServerParts, planned: ImportPlan) -> None:
    cards, entries = [], []
    ids = {change.id for change in planned.changes}
    for change in planned.changes:
        if change.action is Action.SAME:
            continue
        client = change.client
        if client is not None and change.identity == change.known:
            cards.append((client, change.card))
            continue
        name = change.id or parts.clients.new_id(besides=ids)
        ids.add(name)
        entry = machinebook.entry(name, change.identity, change.card)
        if client is not None:
            entry.first_seen = client.first_seen
        entries.append(entry)
    parts.clients.keep(*cards, *((entry, entry.card) for entry in entries))

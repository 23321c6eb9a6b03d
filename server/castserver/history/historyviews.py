"""What the API and the console show of the history, and how a question about it is understood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

from pydantic import BaseModel, ConfigDict, Field

from castserver.api.askedtext import AskedText
from castserver.api.spreadsheet import moment
from castserver.api.viewbase import View
from castserver.days import Day, after, begin
from castserver.history.history import Entry, HistoryState, Kind, Wanted
from castserver.machines.clients import Client, Clients
from castserver.machines.machinelabel import label_of

MOST_ENTRIES = 1000
HEADING = (
    "changed (UTC)",
    "begun (UTC)",
    "kind",
    "id",
    "machine",
    "name",
    "image",
    "state",
    "proven root",
    "started by",
    "message",
)


class Question(BaseModel):
    """Which entries of the history; what is left out chooses all. Days are those of UTC."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    image: AskedText = Field("", description="name of the image, with or without its folder")
    machine: AskedText = Field("", description="id of the machine, or a part of its name or MAC")
    state: HistoryState | None = None
    since: Day | None = Field(None, description="the first day, as 2026-11-27")
    until: Day | None = Field(None, description="the last day")
    text: AskedText = Field("", description="stands somewhere in the entry, or in the machine's name")


class Paged(Question):
    """The same, a page of it."""

    offset: int = Field(0, ge=0, le=1 << 40)
    limit: int = Field(100, ge=1, le=MOST_ENTRIES)


class EntryView(View):
    """One machine's part in one cast, or one capture. Times are Unix seconds."""

    kind: Kind
    id: str = Field(description="id of the cast or capture")
    machine: str
    label: str = Field(description="the machine's name for people")
    image: str
    root: str = Field(description="digest (hex) that was proven; empty: nothing was")
    state: HistoryState
    message: str
    by: str = Field(description="who started it; empty: not known, or begun at the machine")
    begun: int
    changed: int


class HistoryView(View):
    """A page of the history, the newest first."""

    total: int = Field(description="how many entries there are for the question")
    offset: int
    entries: list[EntryView]


def wanted(question: Question, clients: Clients) -> Wanted:
    """What ``question`` asks for; machines are found by their names."""
    return Wanted(
        question.kind,
        question.image.strip(),
        _named(clients, question.machine) if question.machine.strip() else None,
        question.state,
        begin(question.since),
        after(question.until),
        question.text.strip(),
        _named(clients, question.text) if question.text.strip() else (),
    )


def entry_views(entries: Sequence[Entry], clients: Clients) -> list[EntryView]:
    """``entries`` as the API shows them."""
    return [
        EntryView(
            kind=e.kind,
            id=e.id,
            machine=e.machine,
            label=label_of(clients, e.machine),
            image=e.image,
            root=e.root,
            state=e.state,
            message=e.message,
            by=e.by,
            begun=e.begun,
            changed=e.changed,
        )
        for e in entries
    ]


def csv_rows(entries: Iterator[Entry], clients: Clients) -> Iterator[tuple[str, ...]]:
    """``entries`` as rows below `HEADING`."""
    label = cache(partial(label_of, clients))
    for e in entries:
        yield (
            moment(e.changed),
            moment(e.begun),
            e.kind.value,
            e.id,
            e.machine,
            label(e.machine),
            e.image,
            e.state.value,
            e.root,
            e.by,
            e.message,
        )


def _named(clients: Clients, text: str) -> tuple[str, ...]:
    """The ids of the machines that ``text`` may mean."""
    looked_for = text.strip().lower()
    return tuple(c.id for c in clients.all() if _meant(c, looked_for))


def _meant(client: Client, text: str) -> bool:
    if client.id == text or text in client.label.lower():
        return True
    return any(text in mac for mac in client.traits.macs)

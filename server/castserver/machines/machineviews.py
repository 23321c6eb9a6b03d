"""What the API shows of the register of machines: groups and tags, who was given what and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import Field

from castserver.api.viewbase import View
from castserver.casts.castmodel import Cast, Part
from castserver.casts.policy import CastState, PartState
from castserver.machines.clients import Client
from castserver.machines.machineimport import Action, Change, ImportPlan

MOST_CHANGES, MOST_PROBLEMS = 1000, 100


class MarksView(View):
    """Every group and every tag, and how many machines are in it or have it."""

    groups: dict[str, int]
    tags: dict[str, int]


class WriteView(View):
    """One machine's part in one cast."""

    cast: str = Field(description="id of the cast")
    image: str
    cast_state: CastState
    state: PartState
    when: int = Field(description="when the part's state changed last")
    message: str
    root: str = Field(description="digest (hex) that the machine proved of its disk; empty: it did not")
    written: int = Field(description="bytes that were written")
    kept: int = Field(description="bytes that were on the disk before")
    seconds: int


class DeployView(View):
    """What a machine was given last, proven, and what has been tried since."""

    client: str = Field(description="id of the machine")
    label: str
    name: str
    groups: list[str]
    proven: WriteView | None = Field(description="the last cast that it proved; null: none")
    last: WriteView | None = Field(
        description="its last part in a cast that did not end so, begun since; null: none"
    )


class ChangeView(View):
    """What one line of a file does."""

    line: int
    client: str = Field(description="id of the machine; empty: a new one gets one")
    label: str
    action: Action
    fields: dict[str, tuple[str, str]] = Field(description="by column: what was, what will be")


class ProblemView(View):
    """What is wrong with a file; `column` is empty where it is the line as a whole."""

    line: int
    column: str
    what: str


class ImportView(View):
    """What a file of machines does; nothing is done while there is a problem."""

    encoding: str
    delimiter: str
    add: int
    change: int
    same: int
    changes: list[ChangeView] = Field(description="the first thousand lines that add or change")
    problems: list[ProblemView] = Field(description="the first hundred")


def marks_view(machines: Iterable[Client]) -> MarksView:
    """The groups and tags of ``machines``, in order."""
    machines = list(machines)
    groups = Counter(group for client in machines for group in client.card.groups)
    tags = Counter(tag for client in machines for tag in client.card.tags)
    return MarksView(groups=dict(sorted(groups.items())), tags=dict(sorted(tags.items())))


def import_view(planned: ImportPlan) -> ImportView:
    """``planned`` as the API shows it."""
    actions = Counter(change.action for change in planned.changes)
    return ImportView(
        encoding=planned.sheet.encoding,
        delimiter=planned.sheet.delimiter,
        add=actions[Action.ADD],
        change=actions[Action.CHANGE],
        same=actions[Action.SAME],
        changes=[_change(c) for c in planned.changes if c.action is not Action.SAME][:MOST_CHANGES],
        problems=[
            ProblemView(line=p.line, column=p.column, what=p.what)
            for p in planned.problems[:MOST_PROBLEMS]
        ],
    )


def history(casts: Iterable[Cast], client: Client) -> list[WriteView]:
    """Every part of ``client`` in ``casts``, in their order."""
    return [_write(cast, part) for cast in casts if (part := cast.parts.get(client.id)) is not None]


def deploys(casts: Iterable[Cast], machines: Iterable[Client]) -> list[DeployView]:
    """The deploy-target list; ``casts`` the newest first."""
    proven: dict[str, tuple[Cast, Part]] = {}
    last: dict[str, tuple[Cast, Part]] = {}
    for cast in casts:
        for name, part in cast.parts.items():
            found = proven if part.state is PartState.DONE else last
            if name not in found or part.changed > found[name][1].changed:
                found[name] = cast, part
    return [_deploy(client, proven.get(client.id), last.get(client.id)) for client in machines]


def _change(change: Change) -> ChangeView:
    before = change.client.label if change.client is not None else ""
    return ChangeView(
        line=change.line,
        client=change.id,
        label=before or change.card.name or change.id,
        action=change.action,
        fields=change.differences(),
    )


def _deploy(
    client: Client, proven: tuple[Cast, Part] | None, last: tuple[Cast, Part] | None
) -> DeployView:
    if proven is not None and last is not None and last[1].changed < proven[1].changed:
        last = None
    return DeployView(
        client=client.id,
        label=client.label,
        name=client.card.name,
        groups=list(client.card.groups),
        proven=_write(*proven) if proven else None,
        last=_write(*last) if last else None,
    )


def _write(cast: Cast, part: Part) -> WriteView:
    report = part.report
    return WriteView(
        cast=cast.id,
        image=cast.image,
        cast_state=cast.state,
        state=part.state,
        when=part.changed,
        message=part.message,
        root=report.root if report is not None and part.state is PartState.DONE else "",
        written=report.written if report is not None else 0,
        kept=report.kept if report is not None else 0,
        seconds=report.seconds if report is not None else 0,
    )

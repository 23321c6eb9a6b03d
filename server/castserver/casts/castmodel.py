"""A cast and its parts as values in memory, and as rows of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from castcore.cast.states import Transport
from castcore.control import AfterCast, Report

from castserver.casts.castrun import CastRun
from castserver.casts.legrun import CastOptions
from castserver.casts.policy import CastRules, CastState, PartState
from castserver.database.tables import CastRow, PartRow

# Casts that have ended and are still shown among what is live.
MOST_SHOWN = 10


@dataclass
class Part:
    """One machine's part in one cast; ``report`` is the last one it sent about it."""

    state: PartState
    message: str = ""
    report: Report | None = None
    changed: int = 0


@dataclass(eq=False)
class Cast:
    """One cast; times are Unix seconds, ``run`` is None once it has ended.

    ``made_by``: who started it; until somebody has, who made it.
    ``disk_rules`` choose the disks of its machines (castcore.disk.rules), "": the machine's own do.
    ``first_joined`` is when the first machine did, while the cast gathers and after.
    ``began_for`` is why it started of itself in this run of the server, "": somebody started it.
    ``medium`` is the key of the deploy medium that its image lies on, "": of none.
    """

    id: str
    image: str
    root: str
    rules: CastRules
    after: AfterCast
    created: int
    options: CastOptions = field(default_factory=CastOptions)
    state: CastState = CastState.GATHERING
    message: str = ""
    started: int | None = None
    ended: int | None = None
    first_joined: int | None = None
    disk_rules: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    run: CastRun | None = None
    medium: str = ""
    made_by: str = ""
    began_for: str = ""

    @property
    def bare_image(self) -> str:
        """The image's name, without the place where it is."""
        return self.image.rpartition("/")[2]

    def states(self) -> list[PartState]:
        """The state of every part."""
        return [p.state for p in self.parts.values()]


@dataclass(frozen=True)
class Request:
    """What the operator asks for when creating a cast; see :class:`Cast` and what it names.

    ``by`` is who asks.
    """

    image: str
    rules: CastRules
    after: AfterCast = AfterCast.REBOOT
    options: CastOptions = field(default_factory=CastOptions)
    disk_rules: str = ""
    by: str = ""


def latest(casts: Sequence[Cast]) -> list[Cast]:
    """Those of ``casts`` that have not ended, and the few that ended last, in their order."""
    ended = sorted((c for c in casts if c.state.ended), key=lambda c: c.ended or 0, reverse=True)
    shown = ended[:MOST_SHOWN]
    return [c for c in casts if not c.state.ended or c in shown]


def cast_from_row(row: CastRow) -> Cast:
    """The cast that ``row`` holds, without its parts."""
    targets = frozenset(row.targets) if row.targets is not None else None
    return Cast(
        row.id,
        row.image,
        row.root,
        CastRules(
            row.start_clients, row.keep_open, row.update, targets, row.start_after, row.most_at_once
        ),
        AfterCast(row.after),
        row.created,
        _options(row.options),
        CastState(row.state),
        row.message,
        row.started,
        row.ended,
        row.first_joined,
        disk_rules=row.disk_rules,
        made_by=row.made_by,
    )


def _options(value: dict[str, Any]) -> CastOptions:
    """The options that a row holds; one of an older server lacks some."""
    options = CastOptions(**value)
    return replace(options, transport=Transport(options.transport))


def cast_row(cast: Cast) -> CastRow:
    """``cast`` as a row."""
    targets = cast.rules.targets
    return CastRow(
        id=cast.id,
        image=cast.image,
        root=cast.root,
        after=cast.after.value,
        options=asdict(cast.options),
        start_clients=cast.rules.start_clients,
        start_after=cast.rules.start_after,
        most_at_once=cast.rules.most_at_once,
        keep_open=cast.rules.keep_open,
        update=cast.rules.update,
        targets=None if targets is None else sorted(targets),
        state=cast.state.value,
        message=cast.message,
        made_by=cast.made_by,
        created=cast.created,
        started=cast.started,
        ended=cast.ended,
        first_joined=cast.first_joined,
        disk_rules=cast.disk_rules,
    )


def part_row(cast: str, machine: str, part: Part) -> PartRow:
    """``part`` of ``machine`` in ``cast`` as a row."""
    report = part.report.to_json() if part.report is not None else None
    return PartRow(
        cast=cast,
        machine=machine,
        state=part.state.value,
        message=part.message,
        report=report,
        changed=part.changed,
    )


def part_from_row(row: PartRow) -> Part:
    """The part that ``row`` holds."""
    report = Report.from_json(row.report) if row.report is not None else None
    return Part(PartState(row.state), row.message, report, row.changed)

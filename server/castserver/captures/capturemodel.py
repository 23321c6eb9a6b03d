"""A capture as a value in memory and as a row of the database, and which disks one takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from castcore.control import Report
from castcore.disk import DiskFacts
from castcore.errors import Refused

from castserver.database.tables import CaptureRow
from castserver.images.uploadstore import Owner

# Of those that have ended, how many the live state shows.
MOST_SHOWN = 5
# Of those that a machine began itself, how many are kept: whoever registers may begin any number.
MOST_OWN = 8


class CaptureState(StrEnum):
    """Where a capture is in its life."""

    ORDERED = "ordered"
    CAPTURING = "capturing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to it."""
        return self not in (CaptureState.ORDERED, CaptureState.CAPTURING)


@dataclass(frozen=True)
class CaptureRequest:
    """What the operator asks for: the image's first name ("": the machine's model), which disks.

    ``disks`` are paths or stable ids, () the only built-in disk, None all built-in ones; ``partitions``
    are numbers, (): the whole disks. ``by`` is who asks. Otherwise as for ``fleetcast capture``.
    """

    image: str = ""
    disks: tuple[str, ...] | None = ()
    full_sectors: bool = False
    rescue: bool = False
    replace: bool = False
    partitions: tuple[int, ...] = ()
    by: str = ""


@dataclass(eq=False)
class Capture:
    """One capture; times are Unix seconds. ``image`` is the full name, ``ordered`` by the operator.

    ``made_by``: who ordered it, "": it was begun at the machine. ``disks`` are stable ids; ``report`` is
    the machine's last one, ``stored`` the image's bytes.
    """

    id: str
    client: str
    image: str
    disks: tuple[str, ...]
    created: int
    ordered: bool = True
    full_sectors: bool = False
    rescue: bool = False
    replace: bool = False
    partitions: tuple[int, ...] = ()
    state: CaptureState = CaptureState.ORDERED
    message: str = ""
    ended: int | None = None
    root: str = ""
    stored: int = 0
    report: Report | None = None
    made_by: str = ""

    @property
    def owner(self) -> Owner:
        """Whose upload belongs to it."""
        return Owner(self.client, self.image)


def latest(captures: Sequence[Capture]) -> list[Capture]:
    """Those of ``captures`` (the newest first) that are under way, and the few that ended last."""
    ended = [c for c in captures if c.state.ended]
    return [c for c in captures if not c.state.ended or c in ended[:MOST_SHOWN]]


def own_to_forget(captures: Iterable[Capture], client: str) -> list[Capture]:
    """Of the ``captures`` that ``client`` began itself, the old ones that are not kept.

    Those that have not ended are kept first.
    """
    own = [c for c in captures if c.client == client and not c.ordered]
    own.sort(key=lambda c: (not c.state.ended, c.created), reverse=True)
    return own[MOST_OWN:]


def sources(disks: Sequence[DiskFacts], named: tuple[str, ...] | None) -> list[DiskFacts]:
    """The disks that are ``named``, by path or stable id; (): the only built-in one; None: all of them.

    Raises Refused naming the disks there are.
    """
    built_in = [disk for disk in disks if not disk.removable]
    if named is None and built_in:
        return built_in
    if not named and len(built_in) == 1:
        return built_in
    has = ", ".join(f"{d.path} ({d.stable_id})" for d in disks) or "none"
    if not named:
        raise Refused(
            f"the machine has {len(built_in)} built-in disks: {has}",
            hint="name those to capture, or take all of them",
        )
    found = [[d for d in disks if name in (d.path, d.stable_id)] for name in named]
    for name, fits in zip(named, found, strict=True):
        if len(fits) != 1:
            raise Refused(f"the machine has no disk {name[:80]!r}", hint=f"it has {has}")
    return [fits[0] for fits in found]


def capture_from_row(row: CaptureRow) -> Capture:
    """The capture that ``row`` holds."""
    asked = row.options
    return Capture(
        row.id,
        row.machine,
        row.image,
        tuple(row.disks),
        row.created,
        bool(asked["ordered"]),
        bool(asked["full_sectors"]),
        bool(asked["rescue"]),
        bool(asked["replace"]),
        tuple(asked["partitions"]),
        CaptureState(row.state),
        row.message,
        row.ended,
        row.root,
        row.stored,
        made_by=row.made_by,
    )


def capture_row(capture: Capture) -> CaptureRow:
    """``capture`` as a row."""
    return CaptureRow(
        id=capture.id,
        machine=capture.client,
        image=capture.image,
        disks=list(capture.disks),
        options={
            "ordered": capture.ordered,
            "full_sectors": capture.full_sectors,
            "rescue": capture.rescue,
            "replace": capture.replace,
            "partitions": list(capture.partitions),
        },
        state=capture.state.value,
        message=capture.message,
        made_by=capture.made_by,
        created=capture.created,
        ended=capture.ended,
        root=capture.root,
        stored=capture.stored,
    )

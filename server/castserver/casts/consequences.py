"""What an operator's word does to the disks of a room, told before it is given. Pure.

A disk keeps what it has until the first chunk comes, and none comes before the start.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from castserver.api.views import CastView, PartView
from castserver.casts.policy import PartState


@dataclass(frozen=True)
class Start:
    """The machines that the start of a cast erases at once, and those that follow once they have joined.

    ``others``: whoever shows up later is erased too.
    """

    erased: tuple[PartView, ...]
    awaited: tuple[PartView, ...]
    others: bool


@dataclass(frozen=True)
class Cancellation:
    """What a cancelled cast leaves: ``proven`` disks, ``incomplete`` ones that do not boot, and
    ``untouched`` ones.
    """

    proven: tuple[PartView, ...]
    incomplete: tuple[PartView, ...]
    untouched: tuple[PartView, ...]


def of_start(cast: CastView) -> Start:
    """What starting ``cast`` does."""
    return Start(
        _in(cast, PartState.JOINED),
        _in(cast, PartState.QUEUED, PartState.ORDERED),
        others=cast.targets is None,
    )


def of_cancel(cast: CastView) -> Cancellation:
    """What cancelling ``cast`` leaves behind."""
    proven = _in(cast, PartState.DONE)
    if cast.started is None:
        return Cancellation(proven, (), tuple(part for part in cast.parts if part not in proven))
    return Cancellation(
        proven=proven,
        incomplete=_in(cast, PartState.JOINED, PartState.FAILED, PartState.GONE),
        untouched=_in(cast, PartState.QUEUED, PartState.ORDERED, PartState.REFUSED),
    )


def of_retry(
    cast: CastView, online: Collection[str]
) -> tuple[tuple[PartView, ...], tuple[PartView, ...]]:
    """The machines that retrying ``cast`` erases, and those not ``online``, which stay as they are."""
    lost = _in(cast, PartState.FAILED, PartState.REFUSED, PartState.GONE)
    here = tuple(part for part in lost if part.client in online)
    return here, tuple(part for part in lost if part not in here)


def _in(cast: CastView, *states: PartState) -> tuple[PartView, ...]:
    return tuple(part for part in cast.parts if part.state in states)

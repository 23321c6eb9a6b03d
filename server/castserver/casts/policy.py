"""Who boots what, and how a cast lives: pure decisions, with no clock, database or socket.

GATHERING --enough, long enough, or the operator--> RUNNING --every part ended--> DONE | FAILED
                                                     ^   |  |
                            a late machine joins     |   |  +--pause--> PAUSED --resume--> RUNNING
                                                     |   v  (kept open)
                                                     OPEN
    any of these --cancel--> CANCELLED;  what has ended --retry--> RUNNING
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from castcore.boot import BootDecision
from castcore.control import ClientState, Report

# Reports of progress cost the server about 2 ms each; changes of state come besides, and at once.
REPORTS_A_SECOND = 150
REPORT_SECONDS = 1.0

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class CastState(StrEnum):
    """Where a cast is in its life."""

    GATHERING = "gathering"
    RUNNING = "running"
    PAUSED = "paused"
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to the cast."""
        return self in (CastState.DONE, CastState.FAILED, CastState.CANCELLED)


class PartState(StrEnum):
    """Where one machine is in one cast. QUEUED: it is not ordered while so many others are under way."""

    QUEUED = "queued"
    ORDERED = "ordered"
    JOINED = "joined"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    GONE = "gone"

    @property
    def ended(self) -> bool:
        """Whether the cast no longer waits for the machine."""
        return self not in (PartState.QUEUED, PartState.ORDERED, PartState.JOINED)


@dataclass(frozen=True)
class CastRules:
    """What the operator asked of a cast.

    It starts when ``start_clients`` have joined, or ``start_after`` seconds after the first did,
    whichever comes first; both None: on command only. ``targets`` None: every machine that shows up.
    ``keep_open``: machines that come after its end get it too, until it is cancelled. ``update``:
    machines compare their disks with the image first, and receive only what differs. No more than
    ``most_at_once`` machines are ordered or under way at a time; None: all of them.
    """

    start_clients: int | None
    keep_open: bool = False
    update: bool = False
    targets: frozenset[str] | None = None
    start_after: int | None = None
    most_at_once: int | None = None

    @property
    def objection(self) -> str:
        """Why a cast with these rules would never start of itself, "" when it can."""
        most, start = self.most_at_once, self.start_clients
        if most is None or start is None or start <= most:
            return ""
        return (
            f"the cast is to start when {start} machines have joined, and no more than {most} take part"
            " at a time"
        )


def boot_decision(*, boots: BootDecision, known: bool = True, ordered: bool = False) -> BootDecision:
    """What a machine boots over the network: our client, unless what it boots was decided otherwise.

    ``ordered``: an image waits to be booted once.
    """
    if ordered:
        return BootDecision.IMAGE
    return boots if known else BootDecision.CLIENT


def boot_mac(name: str) -> str:
    """``name`` as a MAC address in lower case with colons; "" when it is none."""
    plain = name.strip().lower().replace("-", ":")
    return plain if _MAC.fullmatch(plain) else ""


def wants(
    state: CastState, rules: CastRules, machine: str, part: PartState | None, *, source: bool = False
) -> bool:
    """Whether a machine that is ready now should be ordered into the cast.

    ``source``: an image was made of its disk since it started, so it takes part only when it was named.
    One that was lost, or has restarted in the middle of it, is ordered again; one that ended it, well
    or not, is not: writing the same disk twice takes an operator.
    """
    if state.ended or (rules.targets is not None and machine not in rules.targets):
        return False
    if source and rules.targets is None:
        return False
    return part in (None, PartState.GONE, PartState.QUEUED, PartState.ORDERED, PartState.JOINED)


def turns(rules: CastRules, others: Collection[PartState], waiting: int) -> int:
    """How many of so many machines that are ready are ordered now, the cast having ``others``.

    One that was given up as gone and comes back by itself counts again: for a while there may be more
    than ``most_at_once``.
    """
    if rules.most_at_once is None:
        return waiting
    under_way = sum(part in (PartState.ORDERED, PartState.JOINED) for part in others)
    return max(min(rules.most_at_once - under_way, waiting), 0)


def starts_in(rules: CastRules, first_joined: int | None, now: int) -> int | None:
    """Seconds until the cast starts because it has gathered long enough; None: not for that.

    Times are Unix seconds: what was waited before a restart of the server counts.
    """
    if rules.start_after is None or first_joined is None:
        return None
    return max(first_joined + rules.start_after - now, 0)


def should_start(
    state: CastState, rules: CastRules, parts: Collection[PartState], waited: int | None = None
) -> bool:
    """Whether the cast starts now, of itself; ``waited`` is what `starts_in` says.

    A machine that was in the middle of it when the server died may have everything before the others are
    back: it has joined, too.
    """
    joined = sum(p is PartState.JOINED for p in parts)
    match state:
        case CastState.GATHERING:
            done = sum(p is PartState.DONE for p in parts)
            if waited == 0 and joined > 0:
                return True
            return rules.start_clients is not None and joined + done >= max(rules.start_clients, 1)
        case CastState.RUNNING | CastState.OPEN:
            # Under way before (this server was restarted, or a late machine came): nobody to wait for.
            return joined > 0
        case _:
            return False


def after_parts(state: CastState, rules: CastRules, parts: Collection[PartState]) -> CastState:
    """The state of the cast, given those of its parts."""
    if state is CastState.OPEN and any(p is PartState.JOINED for p in parts):
        return CastState.RUNNING
    if state not in (CastState.RUNNING, CastState.PAUSED) or not all(p.ended for p in parts):
        return state
    if rules.keep_open:
        return CastState.OPEN
    return CastState.DONE if PartState.DONE in parts else CastState.FAILED


def retried(part: PartState) -> bool:
    """Whether a machine whose part ended so can be ordered into the cast again."""
    return part in (PartState.FAILED, PartState.REFUSED, PartState.GONE)


def part_after_report(part: PartState, report: Report, root: str) -> tuple[PartState, str]:
    """A machine's part after its ``report``, and what is to be said of it ("" = the report's message).

    Done is only what was proven: the reported root must be the image's ``root`` (hex). A machine that
    failed and will try again by itself is awaited.
    """
    match report.state:
        case ClientState.DONE if report.root == root:
            return PartState.DONE, ""
        case ClientState.DONE:
            shown = report.root[:16] or "none"
            return PartState.FAILED, f"it proved the root {shown}, the image's is {root[:16]}"
        case ClientState.FAILED if report.retry and not part.ended:
            return part, ""
        case ClientState.FAILED if part not in (PartState.DONE, PartState.QUEUED):
            refused = part in (PartState.ORDERED, PartState.REFUSED)
            return (PartState.REFUSED if refused else PartState.FAILED), ""
        case ClientState.RECEIVING | ClientState.FILLING | ClientState.VERIFYING:
            # A machine given up as lost was only out of reach, also one that registered anew meanwhile.
            return (PartState.JOINED if part in (PartState.GONE, PartState.QUEUED) else part), ""
        case _:
            return part, ""


def idle(report: Report | None, *, stays: bool) -> bool:
    """Whether a connected client may be given a cast, by its last ``report`` (None: just registered).

    ``stays``: its last cast told it to stay when done, rather than to reboot or power off.
    """
    if report is None or report.state in (ClientState.READY, ClientState.FAILED):
        return True
    return report.state is ClientState.DONE and stays


def pace(clients: int) -> float:
    """Seconds between two reports of each of so many ``clients``, while only figures change."""
    return max(REPORT_SECONDS, clients / REPORTS_A_SECOND)

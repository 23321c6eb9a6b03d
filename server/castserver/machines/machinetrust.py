"""Who may be which machine: what is remembered of it, and how one that registers is received. Pure.

A client is known by the key it made at its start. The first key that claims a machine's identity holds
it, until its client says that it leaves, or is silent; another key waits meanwhile, or is let in by the
operator. Where machines are approved by hand, the holder of the identity waits for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from castcore.control import Standing

# Silent for so long, whoever holds an identity is gone: one long poll and ten seconds of a bad network.
HOLDS_SECONDS = 35.0
# When another one comes the holder is asked: its long poll is answered, and a living one polls again.
ANSWER_SECONDS = 8.0
# Others that claim the same identity, and keys that were denied: who invents them pushes out the oldest.
MOST_RIVALS = 8
MOST_DENIED = 32
# Why one that registers is not let in, for its screen.
WHY = {
    Standing.WAITING: "the operator has still to approve this machine",
    Standing.RIVAL: "another machine is connected that says it is this one; this one gets in when that"
    " is gone, or when the operator approves it",
    Standing.DENIED: "the operator has denied this machine",
}


class Approval(StrEnum):
    """What the operator said of a machine."""

    UNDECIDED = "undecided"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Claim:
    """A key (hex) that claims a machine's identity: ``heard`` is monotonic seconds, ``since`` Unix
    seconds, ``code`` is "" until it was computed.
    """

    key: str
    address: str
    since: int
    heard: float
    code: str = ""


@dataclass
class MachineTrust:
    """What is remembered of one machine. ``key`` (hex, "" none) holds its identity.

    ``heard`` is when its holder was heard last, admitted or not, ``asked`` when it was last asked for a
    sign of life (infinitely long ago: not), both monotonic; ``left``: it said that it goes.
    ``code``: the four words of the key, "" until they were computed (only where the machine is not
    admitted, or another claims to be it).
    ``denied_keys``: the last MOST_DENIED rivals that were denied.
    ``clock_off``: seconds that its clock is ahead of ours.
    """

    approval: Approval = Approval.UNDECIDED
    key: str = ""
    code: str = ""
    address: str = ""
    heard: float = -math.inf
    asked: float = -math.inf
    left: bool = False
    rivals: tuple[Claim, ...] = ()
    denied_keys: tuple[str, ...] = ()
    clock_off: int = 0

    def held(self, now: float) -> bool:
        """Whether its holder is here."""
        if not self.key or self.left or now - self.heard > HOLDS_SECONDS:
            return False
        unanswered = self.heard <= self.asked
        return not (unanswered and now - self.asked > ANSWER_SECONDS)

    def present_rivals(self, now: float) -> tuple[Claim, ...]:
        """Those others that claim to be it, and still do."""
        return tuple(claim for claim in self.rivals if now - claim.heard <= HOLDS_SECONDS)


def standing(trust: MachineTrust, key: str, now: float, *, approving: bool) -> Standing:
    """How one that registers as this machine with ``key`` is received.

    ``approving``: machines have to be approved by hand.
    """
    if key in trust.denied_keys:
        return Standing.DENIED
    if key != trust.key and trust.held(now):
        return Standing.RIVAL
    if trust.approval is Approval.DENIED:
        return Standing.DENIED
    if approving and trust.approval is not Approval.APPROVED:
        return Standing.WAITING
    return Standing.ADMITTED


def claimed(trust: MachineTrust, claim: Claim) -> tuple[Claim, ...]:
    """The rivals of a machine's holder with ``claim`` among them; it began when its key came first."""
    before = next((known for known in trust.rivals if known.key == claim.key), None)
    if before is not None:
        claim = replace(claim, since=before.since, code=before.code)
    others = without(trust.present_rivals(claim.heard), claim.key)
    return (*others, claim)[-MOST_RIVALS:]


def without(rivals: tuple[Claim, ...], key: str) -> tuple[Claim, ...]:
    """``rivals`` without the one with ``key``."""
    return tuple(claim for claim in rivals if claim.key != key)


def uncoded(trust: MachineTrust) -> tuple[str, ...]:
    """The keys that have no code yet: the holder's, and those of its rivals."""
    known = ((trust.key, trust.code), *((claim.key, claim.code) for claim in trust.rivals))
    return tuple(key for key, code in known if key and not code)


def coded(trust: MachineTrust, key: str, code: str) -> None:
    """Remember that ``code`` stands for ``key``."""
    if trust.key == key:
        trust.code = code
    trust.rivals = tuple(replace(r, code=code) if r.key == key else r for r in trust.rivals)

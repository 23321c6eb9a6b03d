"""Small pure helpers of the templates: figures as people read them, and the state at a glance."""

from __future__ import annotations

import time
from dataclasses import dataclass

from castcore.boot import Outlook
from castcore.control import ClientState, Report

from castserver.api.views import OFFLINE, CastView, ReceptionView, StateView
from castserver.casts.policy import CastState, PartState
from castserver.console.languages import Words
from castserver.machines.trustviews import DENIED
from castserver.wording import clock, date, megabytes, percent

# Rows of network boots on the page; who invents MACs must not fill it.
MOST_BOOTS = 50
# Machines in trouble that a cast names on the overview; its own page names all.
MOST_TROUBLE = 5
BUSY = (
    ClientState.PLANNING,
    ClientState.JOINING,
    ClientState.RECEIVING,
    ClientState.FILLING,
    ClientState.VERIFYING,
    ClientState.CAPTURING,
)


@dataclass(frozen=True)
class Glance:
    """Counts of machines and the state of casting, for the head of the page."""

    online: int
    ready: int
    busy: int
    done: int
    failed: int
    casting: int
    rate: int


def glance(state: StateView) -> Glance:
    """The figures at the head of the page."""
    states = [c.state for c in state.clients]
    running = [c for c in state.casts if c.state is CastState.RUNNING]
    parts = [p.state for c in state.casts if not c.state.ended for p in c.parts]
    lost = (PartState.FAILED, PartState.REFUSED, PartState.GONE)
    return Glance(
        online=sum(c.online for c in state.clients),
        ready=states.count(ClientState.READY),
        busy=sum(s in BUSY for s in states),
        done=parts.count(PartState.DONE),
        failed=sum(p in lost for p in parts),
        casting=len(running),
        rate=sum(c.sender.rate for c in running if c.sender),
    )


def joined(cast: CastView) -> int:
    """How many machines a start of ``cast`` would erase now."""
    return sum(p.state is PartState.JOINED for p in cast.parts)


def proven(cast: CastView) -> int:
    """How many machines of ``cast`` have proven what they wrote."""
    return sum(p.state is PartState.DONE for p in cast.parts)


def receptions(words: Words, cast: CastView) -> dict[str, str]:
    """How each machine of a running cast keeps up with it, in words, by the machine's id."""
    clients = cast.sender.clients if cast.sender else []
    return {c.client: reception(words, c) for c in clients}


def reception(words: Words, one: ReceptionView) -> str:
    """``"eth1 · ok · 98.1 MB/s · loss 0.52% network, 0 host · 1:20 left"``."""
    told = [one.interface] if one.interface else []
    told += [words(one.kind.value), f"{megabytes(one.rate)} MB/s"]
    net, host = percent(one.net_loss), percent(one.host_loss)
    told.append(words("loss %(net)s network, %(host)s host", net=net, host=host))
    if one.shed_blocks:
        told.append(words("%(n)s blocks shed", n=one.shed_blocks))
    if one.eta is not None:
        told.append(words("%(time)s left", time=clock(one.eta)))
    return " · ".join(told)


def failed(cast: CastView) -> int:
    """How many machines of ``cast`` have failed, were refused or are gone."""
    return sum(p.state in (PartState.FAILED, PartState.REFUSED, PartState.GONE) for p in cast.parts)


def about(words: Words, seconds: int) -> str:
    """A time to wait that was rounded: ``"40 s"``, ``"3 min"``, ``"1 h 5 min"``."""
    if seconds < 60:
        return words("%(n)s s", n=seconds)
    if seconds < 3600:
        return words("%(n)s min", n=seconds // 60)
    return words("%(h)s h %(n)s min", h=seconds // 3600, n=seconds % 3600 // 60)


def share(report: Report | None) -> int:
    """Progress in percent; 0 while unknown."""
    if report is None or report.total <= 0:
        return 0
    return min(100, report.done * 100 // report.total)


def rate(value: int) -> str:
    """A rate in bytes a second, "" for none."""
    return f"{megabytes(value)} MB/s" if value else ""


def moment(words: Words, seconds: int | None, now: int) -> str:
    """How long before ``now`` something was: ``"3 min ago"``, "" for None."""
    if seconds is None:
        return ""
    ago = max(now - seconds, 0)
    if ago < 10:
        return words("just now")
    if ago < 60:
        return words("%(n)s s ago", n=ago)
    if ago < 3600:
        return words("%(n)s min ago", n=ago // 60)
    if ago < 86400:
        return words("%(n)s h ago", n=ago // 3600)
    return words("%(n)s d ago", n=ago // 86400)


def mark(state: str) -> str:
    """The colour class of a state's word: good, bad, busy, wait or off."""
    if state in (ClientState.DONE, PartState.DONE, CastState.DONE, Outlook.ARRIVED):
        return "good"
    lost = (PartState.FAILED, PartState.REFUSED, PartState.GONE, CastState.CANCELLED, Outlook.STUCK)
    if state in (*lost, DENIED):
        return "bad"
    if state in (CastState.RUNNING, CastState.PAUSED, PartState.JOINED, Outlook.BOOTING, *BUSY):
        return "busy"
    return "off" if state in (OFFLINE, Outlook.AWAY, Outlook.DISK) else "wait"


def day(expires: int) -> str:
    """The last day of a licence that expires then."""
    return date(expires, time.time())

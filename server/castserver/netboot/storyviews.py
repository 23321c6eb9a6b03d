"""What the API shows of network boots: how far each came, and why it does not go on."""

from __future__ import annotations

import math
from typing import Any

from castcore.boot import BootStage, History, Outlook, Step, Story, away, tell
from pydantic import Field

from castserver.api.viewbase import View
from castserver.machines.clients import Client, Clients
from castserver.netboot.bootwatch import BootWatch

NOT_MET = Story(
    Outlook.AWAY,
    "it was added by hand, and no machine has claimed it yet",
    "boot it over the network, or check the MAC or UUID that was given",
)


class BootView(View):
    """One network card's latest network boot; times are Unix seconds."""

    mac: str
    stage: BootStage = Field(description="how far it came: `discover` ... `kernel`, `client`")
    detail: str = Field(description="the last thing that happened")
    when: int = Field(description="when that was")
    attempt: int = Field(description="its number, counted since the server started")
    began: int
    outlook: Outlook
    sentence: str = Field(description="how it stands, at the moment of this answer")
    hint: str = Field(description="what to do, or to look at; may be empty")


class BootEventView(View):
    """One thing that happened in a network boot."""

    when: int = Field(description="its last time, when it was repeated")
    attempt: int
    stage: BootStage
    detail: str
    times: int
    done: int | None = Field(description="bytes sent of a file; null: no file was sent")
    total: int | None


class BootHistoryView(BootView):
    """A network boot with the last events of this and the attempts before."""

    events: list[BootEventView]


def boot_view(history: History, now: float, story: Story | None = None) -> BootView:
    """``history`` as the API shows it in lists; it holds one step at least.

    ``story``: how it stands, if more is known of that than the history tells.
    """
    return BootView(**_fields(history, now, story))


def boot_history_view(history: History, now: float, story: Story | None = None) -> BootHistoryView:
    """``history`` with its events."""
    events = [_event(step) for step in history.steps]
    return BootHistoryView(**_fields(history, now, story), events=events)


def absence(client: Client | None, history: History, clients: Clients, now: float) -> Story | None:
    """Why ``client`` is not here, None while it is, or when no machine (None) has that card."""
    clock = clients.clock()
    if client is None or client.online(clock):
        return None
    silent = clock - client.heard
    return away(now - silent if math.isfinite(silent) else client.last_seen, history, now)


def boot_of(
    client: Client, boots: BootWatch, silent: float, *, online: bool
) -> tuple[BootView | None, Story | None]:
    """The latest network boot of ``client``'s machine, and why it is not here (None: it is).

    ``silent``: the seconds since its client was heard, infinite if not since the server started.
    """
    now = boots.now()
    histories = boots.of(client.traits.macs)
    latest = histories[0] if histories else None
    heard = now - silent if math.isfinite(silent) else client.last_seen
    story = None if online else away(heard, latest, now)
    if not client.met:
        story = tell(latest, now) if latest else NOT_MET
    return boot_view(latest, now, story) if latest else None, story


def _fields(history: History, now: float, known: Story | None) -> dict[str, Any]:
    story, last = known or tell(history, now), history.latest
    return {
        "mac": history.mac,
        "stage": history.reached,
        "detail": last.event.detail,
        "when": int(last.when),
        "attempt": history.attempt,
        "began": int(history.began),
        "outlook": story.outlook,
        "sentence": story.sentence,
        "hint": story.hint,
    }


def _event(step: Step) -> BootEventView:
    sent = step.event.transfer
    return BootEventView(
        when=int(step.when),
        attempt=step.attempt,
        stage=step.event.stage,
        detail=step.event.detail,
        times=step.times,
        done=sent.done if sent else None,
        total=sent.total if sent else None,
    )

"""The loop: takes what happened, asks the table what follows, keeps the model, has it shown.

Everything that waits or touches the world is behind :class:`World`, in threads of its own, and comes
back as a :class:`Happening`; nothing here blocks, so the screen always lives.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from castcore.control import ClientState, Machine, Nic, Order, OrderKind, Report
from castcore.edge.cast.discovery import FoundServer
from castcore.errors import FleetcastError
from castcore.words import code_words

from castclient.console import Show
from castclient.journal import Journal
from castclient.model import CastNow, Model
from castclient.phases import Action, Event, Phase, step

# Under software emulation a redraw costs some percent of the machine.
SHOW_SECONDS = 0.5
FACTS_SECONDS = 1.0
_SHOWN_MESSAGES = 8
_UNTOLD = (Phase.STARTING, Phase.SEARCHING, Phase.CHOOSING, Phase.REGISTERING)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event and what belongs to it."""

    event: Event
    servers: tuple[FoundServer, ...] = ()
    client: str = ""
    order: Order | None = None
    now: CastNow | None = None
    text: str = ""
    error: FleetcastError | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the screen shows of the machine itself."""

    machine: Machine
    nics: tuple[Nic, ...]


Post = Callable[[Happening], None]


class World(Protocol):
    """What the loop has done for it."""

    def facts(self) -> Facts:
        """The machine as it is now."""
        ...

    def perform(self, action: Action, happening: Happening, order: Order | None, post: Post) -> None:
        """Begin ``action``, caused by ``happening``, under ``order``; its results come by ``post``."""
        ...

    def tell(self, report: Report) -> None:
        """Make ``report`` the latest the server shall have."""
        ...


class Client:
    """One run of the client."""

    def __init__(self, version: str, world: World, journal: Journal, shows: list[Show]) -> None:
        self._world, self._journal, self._shows = world, journal, shows
        self._happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._order: Order | None = None
        self._facts_due = self._show_due = 0.0
        self.model = Model(version)

    def post(self, happening: Happening) -> None:
        """Let the loop know; from any thread."""
        self._happenings.put(happening)

    def run(self, until: Callable[[Model], bool]) -> Model:
        """Work until ``until`` holds for the model; return it."""
        self.post(Happening(Event.STARTED))
        while not until(self.model):
            try:
                happening = self._happenings.get(timeout=SHOW_SECONDS)
            except queue.Empty:
                self._refresh(time.monotonic(), urgent=False)
                continue
            before = self.model.state
            self.handle(happening)
            self._refresh(time.monotonic(), urgent=self.model.state != before)
        return self.model

    def handle(self, happening: Happening) -> None:
        """Take the one step that ``happening`` leads to."""
        happening = self._recognised(happening)
        before = self.model.phase
        phase, actions = step(before, happening.event)
        if happening.event is not Event.PROGRESS:
            self._journal.add(f"{before}: {happening.event} {happening.text}")
        if happening.order is not None and not actions:
            self._journal.add(
                f"order {happening.order.number} has no place while {before}: not followed"
            )
        elif happening.order is not None:
            self._order = happening.order
        self.model = noted(dataclasses.replace(self.model, phase=phase), happening)
        if (Action.CAST in actions or Action.CAPTURE in actions) and self._order is not None:
            fresh = CastNow(self._order.cast, ClientState.PLANNING)
            self.model = dataclasses.replace(
                self.model, cast=fresh, problem="", failure=None, told=False
            )
        report = report_of(self.model, self._journal)
        if report is not None:
            self._world.tell(report)
        for action in actions:
            self._world.perform(action, happening, self._order, self.post)

    def _recognised(self, happening: Happening) -> Happening:
        """An order for the cast or capture that is done already is told again, not done again."""
        order, model = happening.order, self.model
        works = happening.event in (Event.ORDER_CAST, Event.ORDER_CAPTURE)
        if not works or order is None or model.cast is None:
            return happening
        if model.phase is Phase.DONE and model.cast.cast == order.cast:
            return dataclasses.replace(happening, event=Event.ORDER_AGAIN)
        return happening

    def _refresh(self, now: float, *, urgent: bool) -> None:
        if now >= self._facts_due:
            self._facts_due = now + FACTS_SECONDS
            facts = self._world.facts()
            self.model = dataclasses.replace(self.model, machine=facts.machine, nics=facts.nics)
        if urgent or now >= self._show_due:
            self._show_due = now + SHOW_SECONDS
            messages = self._journal.lines()[-_SHOWN_MESSAGES:]
            self.model = dataclasses.replace(self.model, messages=messages)
            for show in self._shows:
                show(self.model, now)


def noted(model: Model, happening: Happening) -> Model:
    """``model`` with what came along with ``happening``."""
    event = happening.event
    if event in (Event.FOUND, Event.CHOSEN):
        server = happening.servers[0]
        return dataclasses.replace(
            model,
            server_url=server.url,
            server_name=server.name,
            server_words=code_words(server.key),
            choices=(),
        )
    if event is Event.FOUND_SEVERAL:
        choices = tuple(f"{s.name}  {s.url}  {code_words(s.key)}" for s in happening.servers)
        return dataclasses.replace(model, choices=choices)
    if event is Event.REGISTERED:
        return dataclasses.replace(model, client=happening.client, link_lost=False)
    if event is Event.LOST or (event is Event.GAVE_UP and model.client):
        return dataclasses.replace(model, link_lost=True)
    if event in (Event.PROGRESS, Event.CAST_DONE):
        return dataclasses.replace(model, cast=happening.now)
    if event in (Event.TOLD, Event.TOLD_STAY):
        return dataclasses.replace(model, told=True)
    if event is Event.CAST_FAILED:
        return dataclasses.replace(model, problem=happening.text, failure=happening.error)
    return model


def report_of(model: Model, journal: Journal) -> Report | None:
    """What the server shall know of ``model``; None while there is nothing to tell."""
    if model.phase in _UNTOLD:
        return None
    state = ClientState(model.state)
    cast = model.cast
    figures = Report(state, message=model.problem)
    if cast is not None:
        figures = Report(
            state,
            cast=cast.cast,
            message=model.problem or cast.detail,
            done=cast.done,
            total=cast.total,
            written=cast.written,
            kept=cast.kept,
            multicast=cast.multicast,
            unicast=cast.unicast,
            peers=cast.peers,
            repaired=cast.repaired,
            seconds=cast.seconds,
            root=cast.root,
        )
    if state is ClientState.FAILED:
        return dataclasses.replace(figures, logs=journal.lines())
    return figures


def leaving_kind(order: Order) -> OrderKind | None:
    """How ``order`` ends: restart, power off, or None (stay)."""
    if order.kind not in (OrderKind.CAST, OrderKind.CAPTURE):
        return order.kind
    return None if order.after == "stay" else OrderKind(order.after)

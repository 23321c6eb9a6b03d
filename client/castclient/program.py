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

from castcore.control import Machine, Nic, Order, OrderKind, Report
from castcore.disk import DiskFacts

from castclient import retry
from castclient.clientreport import report_of
from castclient.console import Show
from castclient.happening import Happening, Post, leaving_kind
from castclient.journal import Journal
from castclient.model import Model
from castclient.noting import aged, begun, noted
from castclient.phases import Action, Event, Phase, step

# Under software emulation a redraw costs some percent of the machine; news may come a little sooner.
SHOW_SECONDS = 0.5
URGENT_SECONDS = 0.25
FACTS_SECONDS = 1.0
_SHOWN_MESSAGES = 40


@dataclass(frozen=True, slots=True)
class Facts:
    """What the screen shows of the machine itself."""

    machine: Machine
    nics: tuple[Nic, ...]
    disks: tuple[DiskFacts, ...] = ()
    keys: str = ""


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
    """One run of the client; ``again`` says which failures are tried again by itself.

    ``shows`` are shown how it stands a few times a second, ``tells`` beside that every state it has.
    """

    def __init__(
        self,
        version: str,
        world: World,
        journal: Journal,
        shows: list[Show],
        again: retry.Retry = retry.never,
        tells: list[Show] | None = None,
    ) -> None:
        self._world, self._journal, self._again = world, journal, again
        self._shows, self._tells = shows, tells or []
        self._happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._order: Order | None = None
        self._facts_due = self._shown = 0.0
        self._urgent = True
        self.model = Model(version)

    def post(self, happening: Happening) -> None:
        """Let the loop know; from any thread."""
        self._happenings.put(happening)

    def run(self, until: Callable[[Model], bool]) -> Model:
        """Work until ``until`` holds for the model; return it."""
        self.post(Happening(Event.STARTED))
        while not until(self.model):
            try:
                happening = self._happenings.get(timeout=URGENT_SECONDS)
            except queue.Empty:
                self.pass_time(time.monotonic())
                continue
            before = self.model.state, self.model.question, self.model.notice
            self.handle(happening)
            after = self.model.state, self.model.question, self.model.notice
            self._urgent |= after != before
            if self.model.state != before[0]:
                self._tell(time.monotonic())
            self.pass_time(time.monotonic())
        return self.model

    def pass_time(self, now: float) -> None:
        """It is ``now`` (monotonic seconds): try again what is due, forget what is old, show it all."""
        self.model = aged(self.model, now)
        if self.model.phase is Phase.FAILED and 0 < self.model.retry_at <= now:
            self.handle(Happening(Event.AGAIN))
        self._refresh(now)

    def handle(self, happening: Happening) -> None:
        """Take the one step that ``happening`` leads to."""
        if happening.event in (Event.SURE_OFF, Event.STAY_ON) and not self.model.question:
            return  # Enter and Esc answer a question, and mean nothing else
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
        if phase is Phase.LEAVING:
            self.model = dataclasses.replace(self.model, off=_off(happening, self._order))
        if happening.event is Event.CAST_FAILED and not self._captures():
            self.model = self._to_be_tried_again(self.model)
        if {Action.CAST, Action.CAPTURE} & {*actions} and self._order is not None:
            self.model = begun(self.model, self._order.cast, again=happening.event is Event.AGAIN)
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

    def _captures(self) -> bool:
        """Whether the order is a capture: the server's operator asks for that again."""
        return self._order is not None and self._order.kind is OrderKind.CAPTURE

    def _to_be_tried_again(self, model: Model) -> Model:
        tries = model.attempt + 1
        pause = self._again(model.failure, tries)
        if pause is not None:
            self._journal.add(f"tries again by itself in {pause} s (try {tries + 1})")
        return dataclasses.replace(
            model, attempt=tries, retry_at=time.monotonic() + pause if pause is not None else 0.0
        )

    def _refresh(self, now: float) -> None:
        if now >= self._facts_due:
            self._facts_due = now + FACTS_SECONDS
            facts = self._world.facts()
            self.model = dataclasses.replace(
                self.model,
                machine=facts.machine,
                nics=facts.nics,
                disks=facts.disks,
                keys=facts.keys,
            )
        if now >= self._shown + (URGENT_SECONDS if self._urgent else SHOW_SECONDS):
            self._shown, self._urgent = now, False
            messages = self._journal.lines()[-_SHOWN_MESSAGES:]
            self.model = dataclasses.replace(self.model, messages=messages, now=now)
            self._show_by(self._shows, now)
            self._tell(now)

    def _tell(self, now: float) -> None:
        self._show_by(self._tells, now)

    def _show_by(self, shows: list[Show], now: float) -> None:
        """Have it shown; a screen that fails is done without: no write ends for want of one."""
        for show in tuple(shows):
            try:
                show(self.model, now)
            except Exception as error:  # noqa: BLE001 - whatever it is
                shows.remove(show)
                self._journal.add(f"warning: a screen is given up: {error!r}")


def _off(happening: Happening, order: Order | None) -> bool:
    """Whether the machine goes off, rather than restarting."""
    asked = happening.event in (Event.ASKED_OFF, Event.SURE_OFF)
    return asked or (order is not None and leaving_kind(order) is OrderKind.POWER_OFF)

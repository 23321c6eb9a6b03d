"""The loop of the local dialogue: keys and tasks' ends in, pages out. Decides nothing itself."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from castcore.control import OrderKind
from castcore.disk.objections import FirmwareFacts
from castcore.errors import FleetcastError
from castcore.progress import Progress, ProgressCallback

from castclient.local import dialogue
from castclient.local.editor import Editor
from castclient.local.facts import Here, ServerHere, Surveyed, WorkNow
from castclient.local.page import Page
from castclient.local.pages import page_of
from castclient.local.state import (
    Capture,
    Join,
    Leave,
    Look,
    Restore,
    Search,
    State,
    Survey,
    Task,
    Where,
)
from castclient.model import RateMeter

SHOW_SECONDS = 0.3


class Console(Protocol):
    """Where pages are shown."""

    def show(self, page: Page, work: WorkNow | None, typed: str) -> None:
        """Show ``page``, with what is ``typed`` below it."""
        ...

    def ended(self, line: str) -> None:
        """``line`` was typed to its end."""
        ...


class Works(Protocol):
    """What the dialogue has done for it; each call blocks, and raises FleetcastError."""

    def look(self) -> Here:
        """The machine as it is now."""
        ...

    def firmware(self) -> FirmwareFacts | None:
        """How it boots; None where nothing does."""
        ...

    def search(self) -> tuple[ServerHere, ...]:
        """The servers that answer."""
        ...

    def survey(self, task: Survey, progress: ProgressCallback) -> Surveyed:
        """What a capture takes."""
        ...

    def restore(self, task: Restore, progress: ProgressCallback) -> tuple[str, ...]:
        """Write and prove; what was done, a line each."""
        ...

    def capture(self, task: Capture, progress: ProgressCallback) -> tuple[str, ...]:
        """Read and store; what was done, a line each."""
        ...

    def leave(self, kind: OrderKind) -> None:
        """Restart or switch off."""
        ...


Change = Callable[[State], State]


class Desk:
    """One run of the dialogue. Keys come by :meth:`typed`, from any thread; after :meth:`gone` none
    will, and it ends once nothing is at work.
    """

    def __init__(self, here: Here, works: Works, consoles: Sequence[Console]) -> None:
        self._works, self._consoles = works, consoles
        self._news: queue.SimpleQueue[bytes | Change] = queue.SimpleQueue()
        self._hung_up = False
        self._editor = Editor()
        self._firmware = works.firmware()
        self.state = State(here)

    def typed(self, data: bytes) -> None:
        """Keys were pressed."""
        self._news.put(data)

    def gone(self) -> None:
        """Nobody can press any key any more."""
        self._news.put(b"")

    def run(self) -> Join | Leave:
        """Talk until somebody joins a cast or leaves; return what was chosen."""
        self.state, task = dialogue.begun(self.state.here)
        while True:
            if isinstance(task, Join | Leave):
                end = self._ended(task)
                if end is not None:
                    return end
            elif task is not None:
                self._begin(task)
            self._show()
            if self._hung_up and self.state.where is not Where.WORKING:
                return Leave(OrderKind.POWER_OFF)
            task = self._next()

    def _next(self) -> Task | None:
        news = self._news.get()
        if callable(news):
            self.state = news(self.state)
            return None
        self._hung_up = self._hung_up or not news
        task: Task | None = None
        for line in self._editor.feed(news):
            for console in self._consoles:
                console.ended(line)
            if task is None:
                self.state, task = dialogue.answered(self.state, line, self._firmware)
        return task

    def _show(self) -> None:
        page = page_of(self.state)
        for console in self._consoles:
            console.show(page, self.state.work, self._editor.typed)

    def _ended(self, task: Join | Leave) -> Join | Leave | None:
        """``task`` if it can be; None when the machine will not leave."""
        try:
            if isinstance(task, Leave):
                self._works.leave(task.kind)
        except FleetcastError as error:
            self.state = dialogue.refused(self.state, dialogue.sentence(error))
            return None
        return task

    def _begin(self, task: Task) -> None:
        threading.Thread(target=self._work, args=(task,), name=type(task).__name__, daemon=True).start()

    def _work(self, task: Task) -> None:
        """Do ``task``; a task must never die in silence."""
        try:
            self._news.put(self._done(task))
        except FleetcastError as error:
            text = dialogue.sentence(error)
            self._news.put(lambda state: dialogue.failed(state, text))
        except BaseException as error:
            said = f"internal error: {error!r}"
            self._news.put(lambda state: dialogue.failed(state, said))
            raise

    def _done(self, task: Task) -> Change:
        works, progress = self._works, _Teller(self._news.put)
        match task:
            case Look():
                here = works.look()
                return lambda state: dialogue.looked(state, here)
            case Search():
                servers = works.search()
                return lambda state: dialogue.searched(state, servers)
            case Survey():
                found = works.survey(task, progress)
                return lambda state: dialogue.surveyed(state, found)
            case Restore():
                restored = works.restore(task, progress)
                return lambda state: dialogue.finished(state, restored)
            case Capture():
                captured = works.capture(task, progress)
                return lambda state: dialogue.finished(state, captured)
        raise AssertionError(f"{task} is no work")


class _Teller:
    """Tells how far work is, a few times a second at most; called by threads of the work."""

    def __init__(self, put: Callable[[Change], None]) -> None:
        self._put = put
        self._meter = RateMeter()
        self._lock = threading.Lock()
        self._step, self._shown = "", 0.0

    def __call__(self, progress: Progress) -> None:
        clock = time.monotonic()
        with self._lock:
            if progress.step != self._step:
                self._meter = RateMeter()
            rate = self._meter.mark(clock, progress.done)
            whole = progress.total and progress.done >= progress.total
            if progress.step == self._step and clock - self._shown < SHOW_SECONDS and not whole:
                return
            self._step, self._shown = progress.step, clock
        left = progress.total - progress.done
        eta = left // rate if rate and progress.total else None
        now = WorkNow(progress.step, progress.done, progress.total, rate, eta, progress.detail)
        self._put(lambda state: dialogue.progressed(state, now))

"""What the screen and the serial consoles show, as one frozen value."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from castcore.control import ClientState, Machine, Nic, Standing
from castcore.disk import DiskFacts
from castcore.errors import FleetcastError

from castclient.phases import Phase

RATE_WINDOW = 5.0


class _Share:
    """How much of something is ``done`` of its ``total`` bytes, at ``rate`` bytes a second."""

    __slots__ = ()
    done: int
    total: int
    rate: int

    @property
    def percent(self) -> int:
        """Whole percent done; 0 while the total is unknown."""
        return min(100, self.done * 100 // self.total) if self.total else 0

    @property
    def eta(self) -> int | None:
        """Seconds left at the present rate; None when it cannot be said."""
        return (self.total - self.done) // self.rate if self.rate and self.total else None


@dataclass(frozen=True, slots=True)
class DiskNow(_Share):
    """How far the disk ``path`` is in a cast: bytes as they travel, ``rate`` bytes a second."""

    path: str
    done: int = 0
    total: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class CastNow(_Share):
    """How far a cast is. All counts are bytes; ``rate`` bytes a second; times in seconds.

    ``kept`` of ``done`` was on the disk before. ``writing``: something on the disks was changed by now.
    ``disks`` tell it of each disk, in the image's order.
    """

    cast: str
    state: ClientState
    done: int = 0
    total: int = 0
    written: int = 0
    kept: int = 0
    multicast: int = 0
    unicast: int = 0
    peers: int = 0
    repaired: int = 0
    seconds: int = 0
    rate: int = 0
    detail: str = ""
    target: str = ""
    image: str = ""
    root: str = ""
    disks: tuple[DiskNow, ...] = ()
    writing: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """Everything shown. ``problem`` is one sentence ("" when all is well), ``failure`` its error.

    ``kept_out`` is why the server does not let this machine in (its ``standing``), ``machine_words`` the
    code that is shown for it then. ``told`` is True when a cast has ended and the server has heard how.
    ``now`` and ``retry_at`` are monotonic seconds: a failed cast is tried again then (0: not by itself),
    as try ``attempt`` + 1.
    ``question`` waits for Enter or Esc, ``notice`` is the answer to a key; both go away at their
    ``until``. ``keys`` says what keys there are. ``off``: it goes off, not to restart.
    """

    version: str
    phase: Phase = Phase.STARTING
    machine: Machine | None = None
    nics: tuple[Nic, ...] = ()
    server_url: str = ""
    server_name: str = ""
    server_words: str = ""
    choices: tuple[str, ...] = ()
    client: str = ""
    standing: Standing = Standing.ADMITTED
    kept_out: str = ""
    machine_words: str = ""
    link_lost: bool = False
    problem: str = ""
    failure: FleetcastError | None = None
    cast: CastNow | None = None
    told: bool = False
    messages: tuple[str, ...] = ()
    disks: tuple[DiskFacts, ...] = ()
    now: float = 0.0
    attempt: int = 0
    retry_at: float = 0.0
    question: str = ""
    question_until: float = 0.0
    notice: str = ""
    notice_until: float = 0.0
    keys: str = ""
    off: bool = False

    @property
    def retry_in(self) -> int:
        """Whole seconds until the cast is tried again, at least 1; 0 when it is not."""
        return max(1, round(self.retry_at - self.now)) if self.retry_at else 0

    @property
    def state(self) -> str:
        """The word for what the client does: the cast's own state while one is under way."""
        if self.phase is Phase.CASTING:
            return self.cast.state if self.cast is not None else ClientState.PLANNING
        if self.phase is Phase.WAITING and self.standing in (Standing.DENIED, Standing.REFUSED):
            return self.standing
        return ClientState.REBOOTING if self.phase is Phase.LEAVING else self.phase


class RateMeter:
    """Bytes a second over the last few seconds, from (time, bytes so far) marks."""

    def __init__(self, window: float = RATE_WINDOW) -> None:
        self._window = window
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, done: int) -> int:
        """Note that ``done`` bytes were reached at ``now`` (seconds); return bytes a second."""
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()  # another step began to count from zero
        self._marks.append((now, done))
        while len(self._marks) > 2 and self._marks[1][0] <= now - self._window:
            self._marks.popleft()
        (since, first), elapsed = self._marks[0], now - self._marks[0][0]
        return int((done - first) / elapsed) if elapsed > 0 and since < now else 0

"""Watching PCs through a cast: by the server's word and their own consoles, until all have booted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from castcore.errors import FleetcastError

from tests.vm.lab import Lab
from tests.vm.machine import Running
from tests.vm.sampleroot import BOOTED

POLL_SECONDS = 1.0
TELL_SECONDS = 5.0
TAIL_LINES = 12
_DIED = re.compile(r"Kernel panic - not syncing|PANIC: double fault|FLEETCAST SELF-TEST FAILED")
_LOST = ("failed", "refused", "gone")


class LabFailed(FleetcastError):
    """A PC did not get as far as it should have; the message says which, and what it said last."""


@dataclass
class Watched:
    """What is known of one PC by now; ``part`` is its part in the cast as the API shows it."""

    running: Running
    client_ready_s: float | None = None
    state: str = "starting"
    part: dict[str, Any] = field(default_factory=dict)
    booted: re.Match[str] | None = None

    @property
    def name(self) -> str:
        """The PC's name."""
        return self.running.pc.name

    @property
    def report(self) -> dict[str, Any]:
        """The last report of its client about the cast; empty before."""
        return self.part.get("report") or {}

    @property
    def proven(self) -> bool:
        """Whether the server has accepted the proof of what stands on its disk."""
        return self.part.get("state") == "done"

    def phase(self) -> str:
        """Where it is, in a word or two."""
        if self.booted:
            return "booted"
        if self.proven:
            return "proven, restarting" if self.running.is_on else "proven, off"
        total = self.report.get("total") or 0
        share = f" {100 * self.report.get('done', 0) // total}%" if total else ""
        return f"{self.state}{share}"


@dataclass
class Watch:
    """All PCs of one cast, whose image has ``root`` (hex). ``say`` gets progress lines."""

    lab: Lab
    cast: str
    root: str
    say: Callable[[str], None]
    pcs: list[Watched] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _told: str = ""
    _told_at: float = 0.0

    def add(self, running: Running) -> None:
        """Watch one more PC."""
        self.pcs.append(Watched(running))

    def wait(self, until: Callable[[], bool], seconds: float, what: str) -> None:
        """Return when ``until()`` holds. Raises LabFailed after ``seconds``, or when a PC was lost."""
        end = time.monotonic() + seconds
        while True:
            self._look()
            if until():
                self._tell(now=True)
                return
            self._check_lost()
            if time.monotonic() > end:
                raise self.failure(f"not within {seconds:.0f} s: {what}", self.pcs)
            self._tell()
            time.sleep(POLL_SECONDS)

    def failure(self, what: str, pcs: Sequence[Watched]) -> LabFailed:
        """An error with ``what`` happened and the last words of each of ``pcs`` that has not booted."""
        lines = [what]
        for pc in pcs:
            if pc.booted is None:
                lines += [f"{pc.name} is {pc.phase()}; its serial console ended with:"]
                lines += [f"  | {line[:150]}" for line in pc.running.serial.tail(TAIL_LINES)]
        return LabFailed("\n".join(lines), hint=f"all logs are in {self.lab.folder}")

    def _look(self) -> None:
        clients = self.lab.server.get("/clients")
        parts = {p["client"]: p for p in self.lab.server.get(f"/casts/{self.cast}")["parts"]}
        for pc in self.pcs:
            mine = next((c for c in clients if _has_mac(c, pc.running.pc.mac)), None)
            if mine is not None:
                if pc.client_ready_s is None:
                    pc.client_ready_s = round(time.monotonic() - pc.running.powered_on, 1)
                pc.state = mine["state"]
                pc.part = parts.get(mine["client"], {})
            if pc.proven and pc.booted is None:
                pc.booted = pc.running.serial.search(BOOTED)
                if pc.booted:
                    # It has shown what it was to show; the others need the processor.
                    pc.running.power_off()

    def _check_lost(self) -> None:
        for pc in self.pcs:
            why = ""
            if pc.part.get("state") in _LOST:
                why = f"was lost to the cast: {pc.part['state']}, {pc.part.get('message', '')}"
            elif died := pc.running.serial.search(_DIED):
                why = f"crashed: {died[0]}"
            elif not pc.running.is_on and not pc.proven:
                why = "went off before it had the image"
            if why:
                raise self.failure(f"{pc.name} {why}", [pc])
        if self.lab.server.process.poll() is not None:
            raise LabFailed("the cast server ended", hint=f"see {self.lab.server.log}")

    def _tell(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        text = "   ".join(f"{pc.name}: {pc.phase()}" for pc in self.pcs)
        if text != self._told and (now or clock - self._told_at >= TELL_SECONDS):
            self._told, self._told_at = text, clock
            passed = int(clock - self.began)
            self.say(f"  {passed // 60}:{passed % 60:02d}  {text}")


def _has_mac(client: dict[str, Any], mac: str) -> bool:
    return any(nic["mac"] == mac for nic in client["nics"])

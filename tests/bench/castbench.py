"""Runs of a benchmark of casts, and what is told of them: rates, CPU, bytes, and who did not end."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.castend import prepare
from tests.bench.castruns import Measured, Unfinished
from tests.bench.offloads import offloads
from tests.bench.table import Bar
from tests.support.castlab import CastLab

MB = 1e6
# No further run of a program begins after this, so that the whole bench fits 25 minutes.
ENTRY_SECONDS = 33.0
Run = Callable[[CastLab, Path], Measured]


@dataclass(frozen=True)
class Entry:
    """What one program did in one case: ``runs`` that ended well of those ``asked`` for."""

    name: str
    size: int
    receivers: int
    asked: int
    runs: list[Measured]

    @property
    def whole(self) -> bool:
        """Whether every run ended well."""
        return len(self.runs) == self.asked

    @property
    def rate(self) -> float:
        """MB/s of the median run; 0 when none ended."""
        return rate(self.runs, self.size)

    def words(self) -> str:
        """Name, rate, and how many runs ended when not all did."""
        ended = "" if self.whole else f" ({len(self.runs)} of {self.asked} ended)"
        return f"{self.name} {self.rate:.0f}{ended}"

    def cost(self) -> str:
        """CPU seconds a GB of the sender and of each receiver, and seconds before the transfer."""
        if not self.runs:
            return f"{self.name} ?"
        gigabytes = self.size / 1e9
        sender, receiver = (
            statistics.median(run.cpu[end] / count for run in self.runs) / gigabytes
            for end, count in ((0, 1), (1, self.receivers))
        )
        rendezvous = statistics.median(run.rendezvous for run in self.runs)
        return f"{self.name} {sender:.2f}+{receiver:.2f}, {rendezvous:.1f} s"


@dataclass
class Bench:
    """Sizes and counts of a run, and where its files are."""

    folder: Path
    quick: bool
    bars: list[Bar] = field(default_factory=list)
    sources: dict[tuple[int, bool], Path] = field(default_factory=dict)
    shown: list[list[str]] = field(default_factory=list)

    def source(self, megabytes: int, *, compressible: bool = False) -> Path:
        """A file of so many MB; half of every chunk is zeros when ``compressible``."""
        size = max(megabytes // 5, 1) if self.quick else megabytes
        found = self.sources.get((size, compressible))
        if found is None:
            found = self.folder / f"source{size}{'z' if compressible else ''}"
            with found.open("wb") as file:
                for _ in range(size):
                    half = 500_000 if compressible else 1_000_000
                    file.write(os.urandom(half) + bytes(1_000_000 - half))
            prepare(found, compressed=compressible)
            self.sources[size, compressible] = found
        return found

    def entry(self, name: str, lab: CastLab, source: Path, work: Run, most: int) -> Entry:
        """Up to ``most`` runs of one program (one, when quick), as many as its time allows."""
        done, asked, begun = [], 0, time.monotonic()
        while asked < (1 if self.quick else most):
            if time.monotonic() - begun > ENTRY_SECONDS:
                print(f"    {name}: its time is up after {asked} runs", flush=True)
                break
            asked += 1
            try:
                done.append(work(lab, source))
            except Unfinished as error:
                print(f"    {name} not finished: {error}", flush=True)
        return Entry(name, source.stat().st_size, lab.receivers, asked, done)

    def show(self, lab: CastLab) -> None:
        """Print the offload state of every interface of ``lab``, once for each different one."""
        lines = offloads(lab)
        if lines not in self.shown:
            self.shown.append(lines)
            print("\n".join(f"    offload {line}" for line in lines), flush=True)

    def note(self, case: str, figure: str, bar: str, ok: bool | None, samples: list[float]) -> None:
        """One line of the table."""
        self.bars.append(Bar(case, figure, bar, ok, [round(s, 3) for s in samples]))
        print(
            f"{case:<40} {figure:<60} {bar} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True
        )


def rate(runs: list[Measured], size: int) -> float:
    """MB/s of the median run; 0 when none ended."""
    return size / statistics.median(r.seconds for r in runs) / MB if runs else 0.0


def note_cost(bench: Bench, case: str, entries: list[Entry]) -> None:
    """What the transfer cost both ends, and how long each took before it began."""
    words = "; ".join(entry.cost() for entry in entries)
    bench.note(f"{case}: CPU s/GB, rendezvous", words, "", None, [])


def note_bytes(bench: Bench, case: str, entry: Entry, most: float | None = None) -> None:
    """Symbol bytes sent over the image's, and everything that left the interface beside it."""
    if not entry.runs:
        return
    share = statistics.median(r.sent for r in entry.runs)
    wire = statistics.median(r.wire for r in entry.runs)
    figure = f"{share:.3f} x the image (on the wire {wire:.3f} x)"
    bar, ok = (f"<= {most}", share <= most) if most else ("", None)
    bench.note(f"{case}: bytes", figure, bar, ok, [])


def samples(entry: Entry) -> list[float]:
    """MB/s of every run."""
    return [entry.size / r.seconds / MB for r in entry.runs]

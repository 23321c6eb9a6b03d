"""`make bench-cast`: casts beside udpcast, uftp and TCP, on this machine, in one run.

python -m tests.bench.cast            everything, at most 25 minutes
python -m tests.bench.cast --quick    small images, one run each, no claim
python -m tests.bench.cast --only "mtu 4"
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import castfaults, castruns
from tests.bench.castend import prepare
from tests.bench.castruns import Measured, Unfinished, ours
from tests.bench.table import Bar, machine, write
from tests.support.castlab import CastLab, cast_lab

MB = 1e6
SYMBOL_SHARE = 1424 / 1518
PEERS = {"udpcast": castruns.udpcast, "uftp": castruns.uftp}
# A switch port's buffer; a sending card's queue holds back its sender instead of dropping.
SWITCH_QUEUE, CARD_QUEUE = 512 << 10, 32 << 20


@dataclass
class Bench:
    """Sizes and counts of a run, and where its files are."""

    folder: Path
    quick: bool
    bars: list[Bar] = field(default_factory=list)
    sources: dict[tuple[int, bool], Path] = field(default_factory=dict)

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

    def runs(self, most: int, work: Callable[[], Measured]) -> list[Measured]:
        """Up to ``most`` runs that ended well (one, when quick)."""
        done = []
        for _ in range(1 if self.quick else most):
            try:
                done.append(work())
            except Unfinished as error:
                print(f"    not finished: {error}")
        return done

    def note(self, case: str, figure: str, bar: str, ok: bool | None, samples: list[float]) -> None:
        """One line of the table."""
        self.bars.append(Bar(case, figure, bar, ok, [round(s, 3) for s in samples]))
        print(
            f"{case:<40} {figure:<60} {bar} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True
        )


def rate(runs: list[Measured], size: int) -> float:
    """MB/s of the median run; 0 when none ended."""
    return size / statistics.median(r.seconds for r in runs) / MB if runs else 0.0


def beside_peers(
    bench: Bench, case: str, lab: CastLab, megabytes: int, times: float | None, sent: float | None = None
) -> None:
    """Ours and both peers in one lab; at least ``times`` the better peer, ``sent`` times the bytes."""
    source = bench.source(megabytes)
    size = source.stat().st_size
    mine = bench.runs(5, lambda: ours(lab, source))
    figures = {"ours": rate(mine, size)}
    for name, peer in PEERS.items():
        figures[name] = rate(bench.runs(3, lambda peer=peer: peer(lab, source)), size)  # type: ignore[misc]
    better = max(figures["udpcast"], figures["uftp"])
    words = "  ".join(f"{n} {f:.0f}" for n, f in figures.items())
    ratio = figures["ours"] / better if better else float("inf")
    bar = f">= {times} x the better peer" if times else ""
    samples = [size / r.seconds / MB for r in mine]
    figure = f"{ratio:.2f} x ({words} MB/s){cpu(mine, size)}"
    bench.note(case, figure, bar, ratio >= times if times else None, samples)
    if sent is not None and mine:
        share = statistics.median(r.sent for r in mine)
        bench.note(f"{case}: bytes", f"{share:.3f} x the image", f"<= {sent}", share <= sent, [])


def cpu(runs: list[Measured], size: int) -> str:
    """CPU seconds a GB at the sender, and at each receiver."""
    if not runs:
        return ""
    one = runs[len(runs) // 2]
    count = max(len(one.each), 1)
    return f" cpu/GB {one.cpu[0] / size * 1e9:.2f}+{one.cpu[1] / count / size * 1e9:.2f}"


def free_wire(bench: Bench) -> None:
    """MTU-size packets on an unshaped bridge."""
    for receivers, megabytes, times in ((1, 1100, 2.5), (2, 1100, 2.5), (4, 520, 2.0), (8, 520, 2.0)):
        with cast_lab("free", receivers) as lab:
            beside_peers(bench, f"mtu {receivers}", lab, megabytes, times)


def whole_packets(bench: Bench) -> None:
    """GSO packets pass whole: flatters, as no wire does so."""
    for receivers in (1, 4):
        with cast_lab("whole", receivers, whole_gso=True) as lab:
            beside_peers(bench, f"gso whole {receivers}", lab, 520, None)


def lossy(bench: Bench) -> None:
    """Independent loss at four receivers."""
    for per_mille, sent in ((10, 1.04), (50, 1.11)):
        with cast_lab("lossy", 4) as lab:
            for receiver in range(4):
                lab.lose(receiver, per_mille)
            beside_peers(bench, f"loss {per_mille / 10:g}% 4", lab, 520, 2.0, sent)


def shaped(bench: Bench) -> None:
    """Links of known capacity: what share of it becomes image."""
    for mbits, losses in ((200, ((0, 0.98), (10, 0.95))), (1000, ((0, 0.95), (10, 0.92)))):
        for per_mille, share in losses:
            with cast_lab("shaped", 4) as lab:
                lab.shape("s", mbits, queue=CARD_QUEUE)
                for receiver in range(4):
                    if mbits == 200:
                        lab.shape(f"hub/r{receiver}", mbits, queue=SWITCH_QUEUE)
                    if per_mille:
                        lab.lose(receiver, per_mille)
                _one_shaped(bench, lab, mbits, per_mille, share)


def _one_shaped(bench: Bench, lab: CastLab, mbits: int, per_mille: int, share: float) -> None:
    source = bench.source(250 if mbits == 200 else 520)
    size = source.stat().st_size
    mine = bench.runs(3, lambda: ours(lab, source))
    # tbf counts frames of 14 + 1480 bytes here: no FCS, preamble or gap.
    capacity = mbits * 1e6 / 8 * 1424 / (1452 + 28 + 14) / MB
    got = rate(mine, size) / capacity
    case = f"link {mbits} Mbit/s, loss {per_mille / 10:g}% 4"
    samples = [size / r.seconds / MB for r in mine]
    sent = statistics.median(r.sent for r in mine) if mine else 0
    figure = f"{100 * got:.1f}% ({rate(mine, size):.1f} of {capacity:.1f} MB/s, bytes {sent:.3f})"
    bench.note(case, figure, f">= {100 * share:.0f}%", got >= share, samples)


def compressible(bench: Bench) -> None:
    """Chunks that compress 2:1 over 1 Gbit/s: disk bytes written beside what the link carries."""
    source = bench.source(1040, compressible=True)
    with cast_lab("zstd", 4) as lab:
        lab.shape("s", 1000, queue=CARD_QUEUE)
        runs = bench.runs(3, lambda: ours(lab, source, "--zstd"))
    size, capacity = source.stat().st_size, 1e9 / 8 * 1424 / (1452 + 28 + 14) / MB
    times = rate(runs, size) / capacity
    samples = [size / r.seconds / MB for r in runs]
    bench.note(
        "2:1 over 1 Gbit/s 4",
        f"{times:.2f} x ({rate(runs, size):.0f} MB/s)",
        ">= 1.85 x",
        times >= 1.85,
        samples,
    )


def one_in_trouble(bench: Bench) -> None:
    """One receiver is killed, frozen, late or slow."""
    runs = 1 if bench.quick else castfaults.RUNS
    castfaults.faults(bench.source(520), bench.note, runs)
    castfaults.late(bench.source(520), bench.note, runs)
    castfaults.straggler(bench.source(2150), bench.note, 1)


def fixed_cost(bench: Bench) -> None:
    """A tiny image to four ready receivers."""
    source = bench.folder / "tiny"
    source.write_bytes(os.urandom(1_000_000))
    prepare(source)
    with cast_lab("tiny", 4) as lab:
        runs = bench.runs(5, lambda: ours(lab, source))
    seconds = [r.seconds for r in runs]
    median = statistics.median(seconds) if seconds else float("inf")
    bench.note("fixed cost, 1 MB to 4", f"{median:.3f} s", "<= 0.5 s", median <= 0.5, seconds)


CASES = {
    "mtu": free_wire,
    "gso": whole_packets,
    "loss": lossy,
    "link": shaped,
    "zstd": compressible,
    "trouble": one_in_trouble,
    "fixed": fixed_cost,
}


def main() -> None:
    words = argparse.ArgumentParser(description="Casts beside their peers on this machine.")
    words.add_argument("--quick", action="store_true", help="a fifth of the size, one run each")
    words.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="only these cases")
    args = words.parse_args()
    about, begun = machine(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fleetcast-bench-", dir="/dev/shm"))
    bench = Bench(folder, args.quick)
    try:
        for name in args.only:
            CASES[name](bench)
    finally:
        shutil.rmtree(folder)
    write("cast", about, bench.bars, seconds=round(time.monotonic() - begun), quick=args.quick)


if __name__ == "__main__":
    main()

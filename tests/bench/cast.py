"""`make bench-cast`: casts beside udpcast, uftp and TCP, on this machine, in one run.

The switch between sender and receivers snoops IGMP and has a querier, as docs/network.md asks for: a
bridge without one hands every multicast packet to its own host too, which no switch has.

python -m tests.bench.cast            everything, at most 25 minutes
python -m tests.bench.cast --quick    small images, one run each, no claim
python -m tests.bench.cast --only link fixed
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench import castdelta, castfaults, castruns
from tests.bench.castbench import MB, Bench, Run, note_bytes, note_cost, samples
from tests.bench.castend import prepare
from tests.bench.castruns import Unfinished, ours
from tests.bench.memory import at_hand
from tests.bench.table import machine, write
from tests.bench.tcp import tcp
from tests.support.castlab import CastLab, cast_lab

PEERS: dict[str, Run] = {"udpcast": castruns.udpcast, "uftp": castruns.uftp}
TCP: dict[str, Run] = {"tcp": tcp}
# Runs of ours, and of each peer.
OURS_RUNS, PEER_RUNS = 5, 3
# A switch port's buffer; a sending card's queue holds back its sender instead of dropping.
SWITCH_QUEUE, CARD_QUEUE = 512 << 10, 32 << 20
# What the largest case's sinks and all sources take.
MEMORY = 16 << 30


def beside_peers(
    bench: Bench,
    case: str,
    lab: CastLab,
    megabytes: int,
    times: float | None,
    *,
    sent: float | None = None,
    runs: tuple[int, int] = (OURS_RUNS, PEER_RUNS),
) -> None:
    """Ours and both peers in one lab; at least ``times`` the better peer, ``sent`` times the bytes."""
    bench.show(lab)
    source = bench.source(megabytes)
    mine = bench.entry("ours", lab, source, ours, runs[0])
    others = [bench.entry(name, lab, source, work, runs[1]) for name, work in PEERS.items()]
    better = max(other.rate for other in others)
    ratio = mine.rate / better if better else float("inf")
    words = "  ".join(entry.words() for entry in (mine, *others))
    bar = f">= {times} x the better peer" if times else ""
    ok = mine.whole and ratio >= times if times else None
    bench.note(case, f"{ratio:.2f} x ({words} MB/s)", bar, ok, samples(mine))
    note_cost(bench, case, [mine, *others])
    if sent is not None:
        note_bytes(bench, case, mine, sent)


def free_wire(bench: Bench) -> None:
    """MTU-size packets on an unshaped bridge."""
    for receivers, megabytes, times in ((1, 2150, 2.5), (2, 1100, 2.5), (4, 520, 2.0), (8, 520, 2.0)):
        with cast_lab("free", receivers, snooping=True) as lab:
            beside_peers(bench, f"mtu {receivers}", lab, megabytes, times)


def whole_packets(bench: Bench) -> None:
    """GSO packets pass whole: flatters, as no wire does so."""
    for receivers in (1, 4):
        with cast_lab("whole", receivers, snooping=True, whole_gso=True) as lab:
            beside_peers(bench, f"gso whole {receivers}", lab, 520, None, runs=(1, 1))


def lossy(bench: Bench) -> None:
    """Independent loss at four receivers."""
    for per_mille, sent in ((10, 1.04), (50, 1.11)):
        with cast_lab("lossy", 4, snooping=True) as lab:
            for receiver in range(4):
                lab.lose(receiver, per_mille)
            beside_peers(bench, f"loss {per_mille / 10:g}% 4", lab, 520, 2.0, sent=sent)


def shaped(bench: Bench) -> None:
    """Links of known capacity: what share of it becomes image."""
    for mbits, losses in ((200, ((0, 0.98), (10, 0.95))), (1000, ((0, 0.95), (10, 0.92)))):
        for per_mille, share in losses:
            with cast_lab("shaped", 4, snooping=True) as lab:
                lab.shape("s", mbits, queue=CARD_QUEUE)
                for receiver in range(4):
                    if mbits == 200:
                        lab.shape(f"hub/r{receiver}", mbits, queue=SWITCH_QUEUE)
                    if per_mille:
                        lab.lose(receiver, per_mille)
                _one_shaped(bench, lab, mbits, per_mille, share)


def _one_shaped(bench: Bench, lab: CastLab, mbits: int, per_mille: int, share: float) -> None:
    bench.show(lab)
    source = bench.source(1040 if mbits == 1000 else 520)
    mine = bench.entry("ours", lab, source, ours, OURS_RUNS if mbits == 1000 else 3)
    others = TCP if mbits == 1000 else {}
    # TCP takes four times as long, as it sends each byte four times: half the image, once, tells all.
    beside = [bench.entry(name, lab, bench.source(520), work, 1) for name, work in others.items()]
    got = mine.rate / capacity(mbits)
    case = f"link {mbits} Mbit/s, loss {per_mille / 10:g}% 4"
    words = "  ".join(entry.words() for entry in (mine, *beside))
    figure = f"{100 * got:.1f}% of {capacity(mbits):.1f} MB/s ({words})"
    bench.note(case, figure, f">= {100 * share:.0f}%", mine.whole and got >= share, samples(mine))
    note_cost(bench, case, [mine, *beside])
    note_bytes(bench, case, mine)


def capacity(mbits: int) -> float:
    """MB/s of image that a shaped link carries: tbf counts 14 + 1480 bytes for a symbol of 1424 (no
    FCS, preamble or gap).
    """
    return mbits * 1e6 / 8 * 1424 / (1452 + 28 + 14) / MB


def compressible(bench: Bench) -> None:
    """Chunks that compress 2:1 over 1 Gbit/s: disk bytes written beside what the link carries."""
    source = bench.source(2150, compressible=True)
    with cast_lab("zstd", 4, snooping=True) as lab:
        lab.shape("s", 1000, queue=CARD_QUEUE)
        mine = bench.entry("ours", lab, source, lambda *a: ours(*a, "--zstd"), OURS_RUNS)
    times = mine.rate / capacity(1000)
    ok = mine.whole and times >= 1.85
    figure = f"{times:.2f} x ({mine.rate:.0f} MB/s)"
    bench.note("2:1 over 1 Gbit/s 4", figure, ">= 1.85 x", ok, samples(mine))
    note_cost(bench, "2:1 over 1 Gbit/s 4", [mine])


def one_in_trouble(bench: Bench) -> None:
    """One receiver is killed, frozen, late or slow."""
    runs = 1 if bench.quick else castfaults.RUNS
    castfaults.faults(bench.source(520), bench.note, runs)
    castfaults.straggler(bench.source(2150), bench.note, runs)


def already_there(bench: Bench) -> None:
    """Four receivers whose disks hold all but 2% of the chunks."""
    castdelta.delta(bench.source(520), bench.note, 1 if bench.quick else castfaults.RUNS)


def fixed_cost(bench: Bench) -> None:
    """A tiny image to four ready receivers."""
    source = bench.folder / "tiny"
    source.write_bytes(os.urandom(1_000_000))
    prepare(source)
    with cast_lab("tiny", 4, snooping=True) as lab:
        mine = bench.entry("ours", lab, source, ours, OURS_RUNS)
    seconds = [r.seconds for r in mine.runs]
    median = statistics.median(seconds) if seconds else float("inf")
    ok = mine.whole and median <= 0.5
    bench.note("fixed cost, 1 MB to 4", f"{median:.3f} s", "<= 0.5 s", ok, seconds)


CASES = {
    "mtu": free_wire,
    "gso": whole_packets,
    "loss": lossy,
    "link": shaped,
    "zstd": compressible,
    "trouble": one_in_trouble,
    "delta": already_there,
    "fixed": fixed_cost,
}


def _measure(bench: Bench, name: str) -> None:
    try:
        CASES[name](bench)
    except (Unfinished, AssertionError, subprocess.TimeoutExpired) as error:
        # One case that cannot be measured leaves the others their figures.
        bench.note(name, f"not measured: {error}", "", False, [])


def main() -> None:
    words = argparse.ArgumentParser(description="Casts beside their peers on this machine.")
    words.add_argument("--quick", action="store_true", help="a fifth of the size, one run each")
    words.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="only these cases")
    args = words.parse_args()
    about, begun = machine(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fleetcast-bench-", dir="/dev/shm"))
    bench = Bench(folder, args.quick)
    try:
        with at_hand(folder, MEMORY):
            for name in args.only:
                print(f"[{time.monotonic() - begun:.0f} s] {name}", flush=True)
                _measure(bench, name)
    finally:
        shutil.rmtree(folder)
    write("cast", about, bench.bars, seconds=round(time.monotonic() - begun), quick=args.quick)


if __name__ == "__main__":
    main()

"""Casts in which one receiver is slow, killed, frozen or late: what it costs the others, and itself."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.castruns import PATIENCE, Measured, Unfinished, ours
from tests.support.castlab import CastLab, Peer, cast_lab

CARD_QUEUE, SWITCH_QUEUE = 32 << 20, 512 << 10
RUNS = 3
Note = Callable[[str, str, str, bool | None, list[float]], None]
During = Callable[[Peer, list[Peer]], None]


def faults(source: Path, note: Note, runs: int) -> None:
    """One of four receivers is killed, frozen 10 s or joins at half-way; 1 Gbit/s at the sender."""
    size = source.stat().st_size
    with cast_lab("fault", 4) as lab:
        lab.shape("s", 1000, queue=CARD_QUEUE)
        plain = _median(lab, source, runs)
        with_dead = _median(lab, source, runs, during=at_half(size, Peer.kill), dead=(3,), skip=3)
        _judge(note, "killed at half-way: the others", with_dead, plain, 1.03)
        frozen = [_run(lab, source, during=at_half(size, freeze)) for _ in range(runs)]
        others = statistics.median(max(m.each[:3]) for m in frozen)
        _judge(note, "frozen 10 s at half-way: the others", others, plain, 1.03)
        woke = statistics.median(m.each[3] for m in frozen)
        note("frozen 10 s: itself", f"done after {woke:.2f} s", "completes", True, [woke])
        took = []
        for _ in range(runs):
            joined = ours(lab, source, clients=3, late=(3, 0.5 * size))
            took.append(joined.each[3] - joined.details["late_at"])
        _judge(note, "joined at half-way: since its join", statistics.median(took), plain, 1.1)


def straggler(source: Path, note: Note, runs: int) -> None:
    """One of four receivers behind a link of 200 Mbit/s; the sender is not shaped.

    ``runs``: how often without the slow one; with it, a minute and a half, once.
    """
    size = source.stat().st_size
    with cast_lab("straggler", 4) as lab:
        lab.snoop()
        plain = _median(lab, source, runs)
        lab.shape("hub/r3", 200, queue=SWITCH_QUEUE)
        slow = _run(lab, source)
    _judge(note, "one of 4 at 200 Mbit/s: the others", max(slow.each[:3]), plain, 1.05)
    itself = slow.each[3]
    _judge(note, "one of 4 at 200 Mbit/s: itself", itself, size / (200e6 / 8 * 1424 / 1494), 1.15)


def freeze(peer: Peer) -> None:
    """Stop the process for ten seconds, as a laptop's lid does; returns at once."""
    peer.process.send_signal(signal.SIGSTOP)
    threading.Timer(10, peer.process.send_signal, (signal.SIGCONT,)).start()


def at_half(size: int, fault: Callable[[Peer], None]) -> During:
    """Do ``fault`` to the fourth receiver when half of the image is out."""

    def during(sender: Peer, peers: list[Peer]) -> None:
        sender.until(lambda e: e.get("sent", 0) >= 0.5 * size, PATIENCE)
        fault(peers[3])

    return during


def _run(lab: CastLab, source: Path, during: During | None = None) -> Measured:
    return ours(lab, source, during=during)


def _median(
    lab: CastLab,
    source: Path,
    runs: int,
    *,
    during: During | None = None,
    dead: tuple[int, ...] = (),
    skip: int = 4,
) -> float:
    seconds = []
    for _ in range(runs):
        try:
            seconds.append(max(ours(lab, source, during=during, dead=dead).each[:skip]))
        except Unfinished as error:
            print(f"    not finished: {error}")
        time.sleep(0.1)
    return statistics.median(seconds)


def _judge(note: Note, case: str, seconds: float, beside: float, most: float) -> None:
    ratio = seconds / beside
    note(
        case,
        f"{ratio:.3f} x ({seconds:.2f} s, {beside:.2f} s)",
        f"<= {most} x",
        ratio <= most,
        [seconds],
    )

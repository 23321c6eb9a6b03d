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
    with cast_lab("fault", 4, snooping=True) as lab:
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

    ``runs``: how often with and without the slow one. It is waited for, a minute and a half, once; in
    the other runs it is switched off when the others have ended.
    """
    size = source.stat().st_size
    with cast_lab("straggler", 4, snooping=True) as lab:
        plain = _median(lab, source, runs)
        lab.shape("hub/r3", 200, queue=SWITCH_QUEUE)
        itself = _run(lab, source)
        beside = [_run(lab, source, during=off_last, dead=(3,)) for _ in range(runs - 1)]
        others = [max(run.each[:3]) for run in (itself, *beside)]
    median = statistics.median(others)
    _judge(note, "one of 4 at 200 Mbit/s: the others", median, plain, 1.05)
    link = size / (200e6 / 8 * 1424 / 1494)
    _judge(note, "one of 4 at 200 Mbit/s: itself", itself.each[3], link, 1.15)


def off_last(_: Peer, peers: list[Peer]) -> None:
    """Switch the fourth receiver off once the other three have ended."""
    for peer in peers[:3]:
        peer.result(PATIENCE)
    peers[3].kill()


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


def _run(
    lab: CastLab, source: Path, during: During | None = None, dead: tuple[int, ...] = ()
) -> Measured:
    return ours(lab, source, during=during, dead=dead)


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

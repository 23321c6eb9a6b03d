"""Casts to receivers whose disks hold most of the image already: what is sent is what somebody lacks."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Collection
from pathlib import Path

from tests.bench.castend import CHUNK
from tests.bench.castfaults import Note
from tests.bench.castruns import Measured, ours
from tests.support.castlab import cast_lab

RECEIVERS = 4
SHARE = 0.02
# Padding of the last symbol of each block, and parity for what a busy machine drops.
SLACK = 1.1


def delta(source: Path, note: Note, runs: int) -> None:
    """The same 2% of the chunks differ at all four; then another 2% at each."""
    chunks = source.stat().st_size // CHUNK
    count = max(round(SHARE * chunks), 1)
    step = chunks // count
    same = [[i * step + step // 2 for i in range(count)]] * RECEIVERS
    other = [[i * step + 1 + r for i in range(count)] for r in range(RECEIVERS)]
    _case(source, note, runs, "delta, the same 2%", same, 0.04)
    union = RECEIVERS * count / chunks
    _case(source, note, runs, "delta, another 2% at each", other, round(union * SLACK, 3))


def _case(source: Path, note: Note, runs: int, case: str, differ: list[list[int]], most: float) -> None:
    measured = []
    with cast_lab("delta", RECEIVERS, snooping=True) as lab:
        for _ in range(runs):
            for number, chunks in enumerate(differ):
                _spoil(source, source.parent / f"sink{number}", chunks)
            measured.append(ours(lab, source, "--resume"))
    _judge(note, case, measured, most)


def _judge(note: Note, case: str, measured: list[Measured], most: float) -> None:
    sent = statistics.median(m.sent for m in measured)
    seconds = statistics.median(m.seconds for m in measured)
    unicast = max(r["unicast"] for m in measured for r in m.details["results"])
    figure = f"{100 * sent:.2f}% of the image sent, {unicast} bytes by unicast, {seconds:.2f} s"
    ok = sent <= most and not unicast
    note(case, figure, f"<= {100 * most:.1f}%, by multicast", ok, [m.sent for m in measured])


def _spoil(source: Path, sink: Path, chunks: Collection[int]) -> None:
    """Make ``sink`` a copy of ``source`` but for some bytes of these ``chunks``."""
    shutil.copyfile(source, sink)
    fd = os.open(sink, os.O_WRONLY)
    for chunk in chunks:
        os.pwrite(fd, os.urandom(4096), chunk * CHUNK + 8192)
    os.close(fd)

"""One measured transfer each, in a lab of namespaces: ours, udpcast, uftp, TCP. All end proven.

Seconds count from the first data to the last receiver's end; waiting for receivers (rendezvous) is
told apart. Every sink's BLAKE3 must be the source's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from castcore.edge import run

from tests.bench.castend import chunk_list
from tests.support.castlab import CastLab, Peer

PATIENCE = 120.0
# A peer that has not ended by then is told as such: half a gigabyte at 10 MB/s.
PEER_PATIENCE = 52.0
OURS = (sys.executable, "-m", "tests.bench.castend")


@dataclass(frozen=True)
class Measured:
    """One run. ``cpu``: seconds of the sender, and of all receivers; ``sent``: symbol bytes / image,
    ``wire``: everything that left the sender's interface / image.
    """

    seconds: float
    rendezvous: float
    cpu: tuple[float, float] = (0.0, 0.0)
    sent: float = 0.0
    wire: float = 0.0
    each: tuple[float, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class Unfinished(Exception):
    """A transfer that did not end well."""


def proven(source: Path, sinks: list[Path]) -> None:
    """Raise Unfinished unless every sink holds the source's bytes."""
    wanted = _hash(source)
    for sink in sinks:
        if not sink.exists() or _hash(sink) != wanted:
            raise Unfinished(f"{sink.name} is not what was sent")
        sink.unlink()


def _hash(path: Path) -> bytes:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).digest()


def ours(
    lab: CastLab,
    source: Path,
    *options: str,
    receivers: int | None = None,
    clients: int | None = None,
    during: Callable[[Peer, list[Peer]], None] | None = None,
    dead: tuple[int, ...] = (),
    late: tuple[int, float] | None = None,
) -> Measured:
    """A cast of ours; ``during`` runs once it has begun; ``dead`` receivers need not end.

    ``late``: this receiver is started only when so many bytes are out.
    """
    count = receivers or lab.receivers
    sinks = [source.parent / f"sink{i}" for i in range(count)]
    common = ["--interface", "wire0", "--lengths", str(chunk_list(source))]
    begun, wire = time.monotonic(), _on_wire(lab)
    send = [*OURS, "send", *common, "--file", str(source), "--clients", str(clients or count)]
    sender = lab.start("s", *send, *options)
    sender.until(lambda e: e["event"] == "ready", PATIENCE)
    shared = [o for o in options if o in ("--zstd", "--resume")]
    peers: list[Peer] = []
    try:
        for i, sink in enumerate(sinks):
            if late is not None and i == late[0]:
                sender.until(lambda e: e.get("sent", 0) >= late[1], PATIENCE)
            take = [*OURS, "receive", *common, "--file", str(sink), "--name", f"pc{i}", *shared]
            peers.append(lab.start(f"r{i}", *take))
        if during is not None:
            during(sender, peers)
        results = [p.result(PATIENCE) for i, p in enumerate(peers) if i not in dead]
        status = sender.result(PATIENCE)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        said = " | ".join((str(error).splitlines() or ["?"])[-1:] + sender.other[-4:])
        raise Unfinished(said) from None
    finally:
        for peer in (sender, *peers):
            if peer.process.poll() is None:
                peer.kill()
    proven(source, [s for i, s in enumerate(sinks) if i not in dead])
    started = status["started"]
    each = tuple(r["ended"] - started for r in results)
    stored = sum(_stored(source))
    return Measured(
        max(each),
        started - begun,
        (status["cpu"], sum(r["cpu"] for r in results)),
        status["sent"] / stored,
        (_on_wire(lab) - wire) / stored,
        each,
        {
            "status": status,
            "results": results,
            "late_at": results[-1]["ended"] - results[-1]["seconds"] - started,
        },
    )


def _on_wire(lab: CastLab) -> int:
    """Bytes that have left the sender's interface, headers of Ethernet included."""
    shown = run.run(["ip", "-n", lab.space("s"), "-s", "-j", "link", "show", "dev", "wire0"], timeout=20)
    return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])


def _stored(source: Path) -> list[int]:
    return [record[0] for record in json.loads(chunk_list(source).read_text())]


@dataclass
class _Program:
    """A peer's program; every line it prints has its time."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    ended: float = 0.0
    status: int = -1
    cpu: float = 0.0
    pid: int = 0
    thread: threading.Thread | None = None

    def when(self, words: str) -> float:
        """When it first said this. Raises Unfinished."""
        for at, line in list(self.lines):
            if words in line:
                return at
        raise Unfinished(f"it never said {words!r}: {[t for _, t in self.lines[-3:]]}")


def _start(lab: CastLab, space: str, *command: str) -> _Program:
    """Start ``command`` in a namespace; its output is read and its time noted by a thread."""
    made = _Program()
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
    whole = ["ip", "netns", "exec", lab.space(space), *command]
    made.pid = os.posix_spawnp("ip", whole, os.environ, file_actions=actions)
    os.close(writer)

    def watch() -> None:
        with os.fdopen(reader, "rb") as output:
            for line in output:
                made.lines.append((time.monotonic(), line.decode(errors="replace").strip()))
        _, status, usage = os.wait4(made.pid, 0)
        made.ended, made.status = time.monotonic(), os.waitstatus_to_exitcode(status)
        made.cpu = usage.ru_utime + usage.ru_stime

    made.thread = threading.Thread(target=watch, daemon=True)
    made.thread.start()
    return made


def _finish(programs: list[_Program], seconds: float, sign: int = 0) -> None:
    """Wait for all to end (``sign``: ask them to by this signal). Raises Unfinished."""
    end = time.monotonic() + seconds
    for program in programs:
        assert program.thread is not None
        if sign:
            os.kill(program.pid, sign)
        program.thread.join(max(end - time.monotonic(), 0.1))
    late = [p for p in programs if p.thread is not None and p.thread.is_alive()]
    for program in late:
        os.kill(program.pid, 9)
    for program in late:
        assert program.thread is not None
        program.thread.join()
    if late:
        raise Unfinished(f"{len(late)} did not end within {seconds:.0f} s")


def udpcast(lab: CastLab, source: Path, patience: float = PEER_PATIENCE) -> Measured:
    """udp-sender and udp-receiver, full duplex as on any switch."""
    sinks = [source.parent / f"sink{i}" for i in range(lab.receivers)]
    begun = time.monotonic()
    common = ["--nokbd", "--no-progress", "--interface", "wire0"]
    takers = [
        _start(lab, f"r{i}", "udp-receiver", "--file", str(sink), *common)
        for i, sink in enumerate(sinks)
    ]
    time.sleep(0.3)
    more = ["--full-duplex", "--ttl", "1", "--min-receivers", str(lab.receivers)]
    giver = _start(lab, "s", "udp-sender", "--file", str(source), *common, *more)
    _finish([giver, *takers], patience)
    proven(source, sinks)
    started = giver.when("Starting transfer")
    # Its receivers linger after their last byte: the sender knows when all had it.
    ended = giver.when("Transfer complete")
    cpu = (giver.cpu, sum(t.cpu for t in takers))
    return Measured(ended - started, started - begun, cpu)


def uftp(lab: CastLab, source: Path, patience: float = PEER_PATIENCE) -> Measured:
    """uftp without rate limit; blocks that fill the MTU, its largest socket buffers."""
    folders = [source.parent / f"uftp{i}" for i in range(lab.receivers)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    begun = time.monotonic()
    buffers = ["-B", "104857600", "-I", "wire0"]
    takers = [
        _start(lab, f"r{i}", "uftpd", "-d", "-D", str(folder), *buffers, "-x", "1")
        for i, folder in enumerate(folders)
    ]
    time.sleep(0.3)
    more = ["-R", "-1", "-b", "1444", "-t", "1"]
    giver = _start(lab, "s", "uftp", *more, *buffers, str(source))
    try:
        _finish([giver], patience)
    finally:
        _finish(takers, 10, sign=15)
    proven(source, [folder / source.name for folder in folders])
    started, ended = giver.when("Sending section 1"), giver.when("Total elapsed")
    return Measured(ended - started, started - begun, (giver.cpu, sum(t.cpu for t in takers)))

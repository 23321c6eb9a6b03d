"""Plain TCP beside a cast: every receiver has a connection of its own, fed by sendfile(2) at once.

python -m tests.bench.tcp send --file SOURCE --clients 4
python -m tests.bench.tcp receive --file SINK
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from pathlib import Path

from tests.bench.castruns import PATIENCE, Measured, proven
from tests.support.castlab import CastLab
from tests.support.castpeer import say

PORT = 7198
SERVER = "10.9.0.1"
PIECE = 1 << 20
PROGRAM = (sys.executable, "-m", "tests.bench.tcp")


def tcp(lab: CastLab, source: Path) -> Measured:
    """One transfer to every receiver of ``lab``, from the last connection to the last durable byte."""
    sinks = [source.parent / f"sink{i}" for i in range(lab.receivers)]
    begun = time.monotonic()
    send = ["send", "--file", str(source), "--clients", str(lab.receivers)]
    sender = lab.start("s", *PROGRAM, *send)
    sender.until(lambda e: e["event"] == "ready", PATIENCE)
    takers = [
        lab.start(f"r{i}", *PROGRAM, "receive", "--file", str(sink)) for i, sink in enumerate(sinks)
    ]
    results = [taker.result(PATIENCE) for taker in takers]
    given = sender.result(PATIENCE)
    proven(source, sinks)
    each = tuple(r["ended"] - given["started"] for r in results)
    cpu = (given["cpu"], sum(r["cpu"] for r in results))
    return Measured(max(each), given["started"] - begun, cpu, each=each)


def give(file: Path, clients: int) -> None:
    """Send the file to so many who connect, to all at the same time."""
    listener = socket.create_server(("", PORT), backlog=clients)
    say(event="ready")
    peers = [listener.accept()[0] for _ in range(clients)]
    started, cpu = time.monotonic(), time.process_time()
    with file.open("rb") as content:
        threads = [threading.Thread(target=_feed, args=(p, content.fileno())) for p in peers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    say(event="result", started=started, cpu=time.process_time() - cpu)


def _feed(peer: socket.socket, content: int) -> None:
    at = 0
    while sent := os.sendfile(peer.fileno(), content, at, 1 << 30):
        at += sent
    peer.shutdown(socket.SHUT_WR)
    # Its end closes when everything is durable there.
    peer.recv(1)


def take(file: Path) -> None:
    """Write what arrives to the file, and make it durable."""
    buffer = memoryview(bytearray(PIECE))
    with socket.create_connection((SERVER, PORT)) as peer, file.open("wb", buffering=0) as sink:
        cpu = time.process_time()
        while size := peer.recv_into(buffer):
            sink.write(buffer[:size])
        os.fsync(sink.fileno())
    say(event="result", ended=time.monotonic(), cpu=time.process_time() - cpu)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("verb", choices=("send", "receive"))
    words.add_argument("--file", type=Path, required=True)
    words.add_argument("--clients", type=int, default=1)
    args = words.parse_args()
    if args.verb == "send":
        give(args.file, args.clients)
    else:
        take(args.file)


if __name__ == "__main__":
    main()

"""One end of a cast as a process of its own, for namespaces: real sockets, chunks from a seed.

    python -m tests.support.castpeer send --interface eth0 --chunks 100 --clients 4
    python -m tests.support.castpeer receive --interface eth0 --server 10.9.0.1 --chunks 100 --name pc1

Descriptor, joins and single chunks go over plain HTTP. Each prints JSON lines, the last its result.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from castcore.cast.chunkset import ChunkSet
from castcore.cast.descriptor import open_descriptor
from castcore.cast.peers import Peers
from castcore.cast.peerwire import Packed, pack
from castcore.cast.values import JoinAnswer
from castcore.chunks import ChunkSink, ChunkSource
from castcore.edge.cast.peers import PeerClient
from castcore.edge.cast.receiver import receive
from castcore.edge.cast.sender import CastSender, SenderSettings
from castcore.edge.net.interface import find_interface
from castcore.errors import Busy, NetworkFailed, Untrusted
from castcore.progress import Progress
from castcore.trust import SigningKey, digest

KEY = SigningKey(bytes(range(32)))
GROUP = "239.193.70.1"
DATA_PORT = 7100
HTTP_PORT = 7199
INDEX = b"the index"
CHUNK = 1_000_000
MORTAL_CHUNKS = 10


class SeededSource:
    """Incompressible chunks of about 1 MB, the same at both ends."""

    def __init__(self, count: int) -> None:
        sizes = random.Random(count)
        self._lengths = [CHUNK - sizes.randrange(40_000) for _ in range(count)]

    def stored_lengths(self) -> list[int]:
        return self._lengths

    def read_stored(self, chunk: int) -> bytes:
        return np.random.default_rng(chunk).bytes(self._lengths[chunk])


class ProvingSink:
    """Keeps nothing; every chunk must be the source's, once. ``slow`` seconds of sleep for each.

    All wait ``first`` seconds for what is done to the disks before the first is written.
    """

    def __init__(self, source: SeededSource, slow: float, first: float) -> None:
        self._expected = [digest(source.read_stored(i)) for i in range(len(source.stored_lengths()))]
        self._slow, self._first = slow, first
        self._lock = threading.Lock()
        self.put_once: set[int] = set()

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        if digest(stored) != self._expected[chunk]:
            raise Untrusted(f"chunk {chunk}")
        with self._lock:
            time.sleep(self._first)
            self._first = 0
        time.sleep(self._slow)
        with self._lock:
            assert chunk not in self.put_once
            self.put_once.add(chunk)
        return len(stored)

    def put_content(self, chunk: int, content: bytes) -> int:
        return self.put(chunk, content)

    def flush(self) -> None:
        return


class SeededContents:
    """What a seed serves; a liar's chunks are the next ones, a staller's take for ever.

    A mortal one dies as by a power cut after MORTAL_CHUNKS.
    """

    def __init__(self, source: SeededSource, kind: str) -> None:
        self._source, self._kind = source, kind
        self._served = 0

    def packed(self, chunk: int) -> Packed:
        if self._kind == "staller":
            time.sleep(4)
        self._served += 1
        if self._kind == "mortal" and self._served > MORTAL_CHUNKS:
            os.kill(os.getpid(), signal.SIGKILL)
        wrong = self._kind == "liar"
        return pack(self._source.read_stored((chunk + wrong) % len(self._source.stored_lengths())))

    def relieve(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class HttpControl:
    """The unicast side of the cast."""

    def __init__(self, server: str, name: str) -> None:
        self._server, self._name = server, name
        self.chunks = 0
        self._local = threading.local()

    def descriptor(self) -> bytes:
        return self._get("/descriptor")

    def manifest(self) -> bytes:
        return b"manifest"

    def index(self) -> bytes:
        return INDEX

    def join(self, held: bytes) -> JoinAnswer:
        return JoinAnswer.from_json(json.loads(self._get(f"/join/{self._name}/{held.hex()}")))

    def selection(self, number: int) -> bytes:
        return self._get(f"/selection/{number}")

    def peers(self) -> Peers:
        return Peers.from_json(json.loads(self._get(f"/peers/{self._name}")))

    def chunk(self, number: int) -> bytes:
        self.chunks += 1
        return self._get(f"/chunk/{number}/{self._name}")

    def symbol_digests(self, selection: int, block: int) -> bytes:
        return self._get(f"/symbols/{selection}/{block}")

    def _get(self, path: str) -> bytes:
        """Each thread keeps its connection, as the real control does."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._server, HTTP_PORT, timeout=5)
            self._local.connection = connection
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body: bytes = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NetworkFailed(f"no answer: {error}") from None
        if answer.status == 503:
            raise Busy("too many ask")
        if answer.status != 200:
            raise NetworkFailed(f"status {answer.status}")
        return body


def say(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def send(args: argparse.Namespace) -> None:
    cast(args, SeededSource(args.chunks))


def cast(args: argparse.Namespace, source: ChunkSource) -> None:
    """Cast ``source`` as ``args`` say; chunks and joins over HTTP."""
    sender = CastSender(
        source,
        name="seeded",
        root=digest(INDEX),
        manifest=b"manifest",
        index=INDEX,
        key=KEY,
        settings=SenderSettings(
            args.interface,
            args.group,
            DATA_PORT,
            DATA_PORT + 1,
            rate_cap=int(args.rate * 1e6),
            offload=not args.no_offload,
            jumbo=args.jumbo,
            mac=args.mac,
            encrypt=args.encrypt,
            peers=not args.no_peers,
        ),
    )
    joined: set[str] = set()
    server = ThreadingHTTPServer(("", HTTP_PORT), _handler(sender, source, joined, args.unicast_after))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(event="ready")
    while len(joined) < args.clients:
        time.sleep(0.02)
    started, cpu = time.monotonic(), time.process_time()
    sender.start()
    while not sender.wait(0.5):
        say(event="status", **sender.status().to_json())
    segmenting = sender.segmenting
    say(
        event="result",
        started=started,
        seconds=time.monotonic() - started,
        gso=segmenting,
        cpu=time.process_time() - cpu,
        **sender.status().to_json(),
    )
    sender.stop()
    # Chunks stay to be had for whoever is late.
    time.sleep(args.serve_after)


class _Unicast:
    """Single chunks of the cast, none of them before ``after`` receivers have everything."""

    def __init__(self, sender: CastSender, source: ChunkSource, after: int) -> None:
        self._sender, self._source, self._after = sender, source, after

    def get(self, number: int, client: str) -> bytes:
        """The chunk; nothing when it is too early, or too many ask."""
        if self._sender.status().done < self._after:
            return b""
        self._after = 0  # for good: those who have finished may leave, or die
        try:
            time.sleep(self._sender.turn(client, number))
        except Busy:
            return b""
        return self._source.read_stored(number)


def _handler(
    sender: CastSender, source: ChunkSource, joined: set[str], unicast_after: int
) -> type[BaseHTTPRequestHandler]:
    """Control and chunks of the cast."""
    chunks = _Unicast(sender, source, unicast_after)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _, verb, *rest = self.path.split("/")
            if verb == "descriptor":
                body = sender.descriptor
            elif verb == "join":
                answer = sender.join(rest[0], bytes.fromhex(rest[1]))
                body = json.dumps(answer.to_json()).encode()
                joined.add(rest[0])
            elif verb == "symbols":
                body = sender.symbol_digests(int(rest[0]), int(rest[1]))
            elif verb == "selection":
                body = sender.selection(int(rest[0]))
            elif verb == "peers":
                peers = sender.peers(rest[0], self.client_address[0])
                body = json.dumps(peers.to_json()).encode()
            else:
                body = chunks.get(int(rest[0]), rest[1])
            self.send_response(200 if body else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: standard output is for events."""

    return Handler


def take(args: argparse.Namespace) -> None:
    source = SeededSource(args.chunks)
    sink = ProvingSink(source, args.slow, args.first)
    lengths = source.stored_lengths()
    control = HttpControl(args.server, args.name)
    contents = SeededContents(source, args.seed_as) if args.seed else None
    with closing(PeerClient(control, sink, lengths, contents)) as peers:
        result = join(args, lengths, sink, peers=peers)
        complete = len(sink.put_once) == args.chunks
        say(event="complete", complete=complete)
        peers.stay(args.seed)
        say(event="result", complete=complete, banned=peers.banned, served=peers.served, **result)


def join(
    args: argparse.Namespace,
    lengths: Sequence[int],
    sink: ChunkSink,
    *,
    peers: PeerClient | None = None,
    held: ChunkSet | None = None,
) -> dict[str, Any]:
    """Receive the cast into ``sink``; its result, told as it goes on."""
    control = HttpControl(args.server, args.name)
    descriptor = open_descriptor(_patiently(control), KEY.public)
    details: list[str] = []

    def progress(now: Progress) -> None:
        if not details or details[-1] != now.detail:
            details.append(now.detail)
            say(event="progress", step=now.step, done=now.done, detail=now.detail)

    cpu = time.process_time()
    result = receive(
        control,
        descriptor,
        lengths,
        sink,
        interface=find_interface(args.interface).address,
        progress=progress,
        peers=peers,
        offload=not args.no_offload,
        held=held,
    )
    return {
        "multicast": result.multicast,
        "unicast": result.unicast,
        "peers": result.peers,
        "repaired": result.repaired,
        "seconds": result.seconds,
        "refused": result.refused,
        "kept": result.kept,
        "details": details,
        "ended": time.monotonic(),
        "cpu": time.process_time() - cpu,
    }


def _patiently(control: HttpControl) -> bytes:
    while True:
        try:
            return control.descriptor()
        except NetworkFailed:
            time.sleep(0.1)


def parser() -> argparse.ArgumentParser:
    """The options that both ends share."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--interface", required=True)
    made.add_argument("--chunks", type=int, default=100)
    made.add_argument("--no-offload", action="store_true")
    made.add_argument("--clients", type=int, default=1)
    made.add_argument("--group", default=GROUP)
    made.add_argument("--jumbo", action="store_true")
    made.add_argument("--rate", type=float, default=0)
    made.add_argument("--serve-after", type=float, default=0)
    made.add_argument("--unicast-after", type=int, default=0)
    made.add_argument("--server", default="10.9.0.1")
    made.add_argument("--name", default="pc")
    made.add_argument("--mac", action="store_true")
    made.add_argument("--encrypt", action="store_true")
    made.add_argument("--slow", type=float, default=0)
    made.add_argument("--first", type=float, default=0)
    made.add_argument("--no-peers", action="store_true")
    made.add_argument("--seed", type=float, default=0)
    made.add_argument("--seed-as", choices=("honest", "liar", "staller", "mortal"), default="honest")
    return made


def main() -> None:
    both = argparse.ArgumentParser()
    verbs = both.add_subparsers(required=True)
    for name, work in (("send", send), ("receive", take)):
        verbs.add_parser(name, parents=[parser()]).set_defaults(work=work)
    args = both.parse_args()
    args.work(args)


if __name__ == "__main__":
    main()

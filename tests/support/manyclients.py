"""Hundreds of clients in one process: real TLS, real orders, joins, reports and feedback; no disks.

``python -m tests.support.manyclients URL CERTIFICATE KEY FIRST COUNT``, where the clients' network is.
One of them receives the group with the receiver's own core, and throws the bytes away. The others hear
through its ears: each speaks for itself, by the reporter and farewell of the core, to its own feedback
socket, as if it stood at the same switch. Prints one JSON object for each step, the last with figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from castclient.link import _pace
from castcore.cast import wire
from castcore.cast.blocks import BlockTable
from castcore.cast.descriptor import CastDescriptor, open_descriptor
from castcore.cast.farewell import Farewell
from castcore.cast.messages import FinAck
from castcore.cast.reporting import Reporter, View
from castcore.cast.states import ReceiverState
from castcore.cast.values import JoinAnswer
from castcore.control import ClientState, Report
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.cast.receiver import _Reception
from castcore.edge.net.pinned import PinnedHttps
from castcore.errors import BadPacket
from castcore.image import parse_index, parse_manifest
from castcore.progress import silent
from castcore.proof import Prover
from castcore.trust import SigningKey

from tests.support.leanhttps import AT_ONCE, Https, Where
from tests.support.serverlab import registration
from tests.support.tally import Tally

POLL_SECONDS, REPORT_SECONDS, REMEMBER_SECONDS, LOOK_SECONDS = 20, 1.0, 10.0, 0.025
VERIFY_SECONDS = 5.0
ENDED = (ReceiverState.FLUSHING, ReceiverState.FINISHING, ReceiverState.DONE)


class Discard:
    """A sink without a disk."""

    def __init__(self) -> None:
        self.taken = 0

    def put(self, chunk: int, stored: bytes | memoryview) -> int:  # noqa: ARG002
        self.taken += len(stored)
        return len(stored)

    def flush(self) -> None:
        pass


class Ears:
    """The one that really receives; what it knows at a moment is what all of them know."""

    def __init__(self, where: Where, client: LeanClient, cast: str, facts: Facts) -> None:
        https = PinnedHttps(where.url, where.certificate, prover=client.prover)
        self.sink = Discard()
        self._reception = _Reception(
            HttpsCastControl(https, cast),
            facts.descriptor,
            facts.lengths,
            self.sink,
            lambda: client.interface,
            silent,
            None,
            offload=True,
            held=None,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def told(self) -> int:
        """How many datagrams it sent of how it goes."""
        return self._reception._core._reporter._number

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def view(self, now: float) -> View | None:
        """What it knows; None before it was taken in, or in the middle of a change."""
        core = self._reception._core
        with suppress(RuntimeError, ValueError, KeyError):  # it goes on in its own thread meanwhile
            view = core._view(now)
            return view if view.answer.feedback_key else None
        return None

    def _run(self) -> None:
        try:
            self._reception.run(threading.Event())
        finally:
            self._reception.close()


@dataclass(frozen=True)
class Facts:
    """What a client learns of a cast before it joins."""

    descriptor: CastDescriptor
    lengths: Sequence[int]
    root: bytes


class Feedback(asyncio.DatagramProtocol):
    """One client's socket for its own words, and for the sender's answers to it."""

    def __init__(self, client: LeanClient, facts: Facts) -> None:
        self._client, self._facts = client, facts

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        descriptor = self._facts.descriptor
        with suppress(BadPacket):
            word = wire.open_from_server(data, descriptor.session, descriptor.session_key)
            if isinstance(word, FinAck) and word.client == self._client.answer.client_number:
                self._client.acked.set()


class LeanClient:
    """One client; ``room`` is what all share."""

    def __init__(self, room: Room, number: int, interface: str) -> None:
        self.room, self.number, self.interface = room, number, interface
        self.polling, self.speaking = Https(room.where), Https(room.where)
        self.id = ""
        self._key = SigningKey.generate()
        self.prover = Prover(self._key, room.where.certificate)
        self.answer: JoinAnswer
        self.acked = asyncio.Event()
        self._state, self._root, self._cast = ClientState.READY, "", ""
        self._changed = asyncio.Event()
        self._delivered = asyncio.Event()
        self._task: asyncio.Task[None]
        self._pace = REPORT_SECONDS

    @property
    def disk(self) -> str:
        return f"wwn-{self.number}"

    async def register(self) -> None:
        began = time.monotonic()
        machine = registration(self.number % 200, key=self._key.public.hex()).to_json()
        machine["machine"]["uuid"] = f"8f7d7a3e-1c5b-4a2f-9d3c-{self.number:012x}"
        machine["disks"][0]["stable_id"] = self.disk
        machine["nics"][0]["mac"] = "52:54:00:" + ":".join(f"{b:02x}" for b in self.number.to_bytes(3))
        said = json.loads(await self.speaking.call("POST", "/clients", machine, self.prover))
        self.id = said["client"]
        self.prover = Prover(self._key, self.room.where.certificate, said["token"], said["nonce"])
        self.room.tally.note("register", began)

    async def live(self) -> None:
        """Wait for an order, do it, all the time telling how it goes."""
        reporting = asyncio.create_task(self._keep_reporting())
        seen = 0
        while not reporting.done():
            path = f"/clients/{self.id}/orders?after={seen}&wait={POLL_SECONDS}"
            said = json.loads(await self.polling.call("GET", path, None, self.prover))
            for order in said["orders"]:
                seen = order["number"]
                if order["kind"] == "cast":
                    self._task = asyncio.create_task(self._guarded(order["cast"]))
        await reporting

    async def _guarded(self, cast: str) -> None:
        try:
            await self._take(cast)
        except Exception as error:  # noqa: BLE001 - counted, and shown
            self.room.tally.failed.append(f"{self.id}: {error!r}")

    async def _take(self, cast: str) -> None:
        room = self.room
        began = time.monotonic()
        await self._tell(ClientState.PLANNING, cast)
        facts = await self._facts(cast)
        await self._tell(ClientState.JOINING, cast)
        await self._https("GET", f"/casts/{cast}/durable?target={self.disk}")
        await self._https("POST", f"/casts/{cast}/licence")
        await self._remember(cast)
        if self is room.leader:
            room.ears = Ears(room.where, self, cast, facts)
            room.ears.start()
            while room.ears.view(time.monotonic()) is None:
                await asyncio.sleep(0.01)
            self.answer = room.ears._reception._core._answer
        else:
            join = time.monotonic()
            self.answer = JoinAnswer.from_json(await self._json("POST", f"/casts/{cast}/join", {}))
            room.tally.note("join", join)
        room.tally.note("order to join", began)
        await self._tell(ClientState.RECEIVING, cast)
        await self._receive(cast, facts)
        await self._tell(ClientState.VERIFYING, cast)
        await asyncio.sleep(VERIFY_SECONDS)
        self._root = facts.root.hex()
        await self._tell(ClientState.DONE, cast)
        room.tally.done += 1

    async def _receive(self, cast: str, facts: Facts) -> None:
        """Speak until the sender has heard that everything is here."""
        loop, to = asyncio.get_running_loop(), facts.descriptor.feedback_address
        remembering = asyncio.create_task(self._keep_remembering(cast))
        transport, _ = await loop.create_datagram_endpoint(lambda: Feedback(self, facts), remote_addr=to)
        try:
            if self is self.room.leader:
                while self.room.ears is not None and not self.room.ears.ended:
                    await asyncio.sleep(LOOK_SECONDS)
            else:
                self.room.speakers.append(Speaker(self, facts, self.room, transport))
                await self.acked.wait()
        finally:
            remembering.cancel()
            transport.close()

    async def _facts(self, cast: str) -> Facts:
        signed = await self._https("GET", f"/casts/{cast}/descriptor")
        descriptor = open_descriptor(signed, self.room.where.key)
        manifest = await self._https("GET", f"/casts/{cast}/manifest")
        index = await self._https("GET", f"/casts/{cast}/index")
        if self.room.known is None:
            lengths = parse_index(index, parse_manifest(manifest)).stored_lengths()
            self.room.known = Facts(descriptor, lengths, descriptor.root)
            self.room.total = descriptor.stored_bytes
        return self.room.known

    async def _tell(self, state: ClientState, cast: str) -> None:
        self._state, self._cast = state, cast
        self._delivered.clear()
        self._changed.set()
        if state is ClientState.DONE:
            await self._delivered.wait()

    def _report(self) -> Report:
        moving = self._state in (ClientState.RECEIVING, ClientState.VERIFYING, ClientState.DONE)
        total = self.room.total if moving else 0
        done = min(self.room.taken, total)
        return Report(
            self._state,
            self._cast,
            done=done,
            total=total,
            written=done,
            multicast=done,
            root=self._root,
        )

    async def _keep_reporting(self) -> None:
        """At once when the state changes, else once a second, if there is something new."""
        told: Report | None = None
        while told is None or told.state is not ClientState.DONE:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace):
                    await self._changed.wait()
            self._changed.clear()
            report = self._report()
            if report == told:
                continue
            began = time.monotonic()
            path = f"/clients/{self.id}/report"
            self._pace = _pace(await self._json("POST", path, report.to_json()))
            self.room.tally.note("report", began)
            self.room.tally.reports += 1
            told = report
            if report.state is self._state:
                self._delivered.set()

    async def _keep_remembering(self, cast: str) -> None:
        while True:
            await asyncio.sleep(REMEMBER_SECONDS)
            await self._remember(cast)

    async def _remember(self, cast: str) -> None:
        await self._json("POST", f"/casts/{cast}/durable", {"target": self.disk, "held": ""})

    async def _https(self, method: str, path: str, value: Any = None) -> bytes:
        return await self.speaking.call(method, path, value, self.prover)

    async def _json(self, method: str, path: str, value: Any = None) -> Any:
        return json.loads(await self._https(method, path, value))


class Speaker:
    """What one client says to the sender, until it has been heard that everything is here."""

    def __init__(
        self, client: LeanClient, facts: Facts, room: Room, way: asyncio.DatagramTransport
    ) -> None:
        jitter = random.random()
        self._client, self._room, self._way = client, room, way
        self._reporter, self._farewell = (
            Reporter(room.table(facts), jitter),
            Farewell(facts.root, jitter),
        )
        self._reporter.joined(time.monotonic())
        self._ending = False

    def look(self, now: float, view: View) -> bool:
        """Say what is due; whether there will be more."""
        if view.state in ENDED:
            return self._end(now, view)
        if self._reporter.due(now):
            for packet in self._reporter.poll(now, replace(view, answer=self._client.answer)):
                self._way.sendto(packet)
                self._room.tally.feedback += 1
            if view.beacon is not None:
                self._reporter.hasten(view.beacon.status_ms / 1000)
        return True

    def _end(self, now: float, view: View) -> bool:
        if not self._ending:
            self._farewell.flush(now, len(self._room.clients))
            self._ending = True
        if self._farewell.due(now) and not self._client.acked.is_set():
            if self._farewell.over:
                self._client.acked.set()
                self._room.tally.failed.append(f"{self._client.id}: nobody heard its end")
            else:
                self._way.sendto(self._farewell.say(now, view.session, self._client.answer))
                self._room.tally.fins += 1
        return not self._client.acked.is_set()


class Room:
    """All clients, and the ears they share."""

    def __init__(self, where: Where, interface: str, first: int, count: int) -> None:
        self.where, self.tally = where, Tally()
        self.clients = [LeanClient(self, first + n, interface) for n in range(count)]
        self.leader = self.clients[0]
        self.ears: Ears | None = None
        self.known: Facts | None = None
        self.total = 0
        self.speakers: list[Speaker] = []
        self._table: BlockTable | None = None

    @property
    def taken(self) -> int:
        """Bytes that the ears have received."""
        return self.ears.sink.taken if self.ears is not None else 0

    async def keep_speaking(self) -> None:
        """Look at what the ears know for all of them together."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            view = self.ears.view(now) if self.ears is not None else None
            if view is not None:
                self.speakers = [one for one in self.speakers if one.look(now, view)]

    def table(self, facts: Facts) -> BlockTable:
        if self._table is None:
            self._table = BlockTable.build(facts.lengths, facts.descriptor.symbol_size)
        return self._table


def say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


async def run(url: str, certificate: str, key: str, interface: str, first: int, count: int) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    where = Where(url, bytes.fromhex(certificate), bytes.fromhex(key), tls, asyncio.Semaphore(AT_ONCE))
    room = Room(where, interface, first, count)
    await asyncio.gather(*(client.register() for client in room.clients))
    say("registered", **room.tally.figures())
    speaking = asyncio.create_task(room.keep_speaking())
    await asyncio.gather(*(client.live() for client in room.clients))
    speaking.cancel()
    assert room.ears is not None
    room.tally.feedback += room.ears.told
    say("done", **room.tally.figures())


if __name__ == "__main__":
    _url, _certificate, _key, _interface, _first, _count = sys.argv[1:]
    asyncio.run(run(_url, _certificate, _key, _interface, int(_first), int(_count)))

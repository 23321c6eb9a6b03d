"""Hundreds of clients on one server process: a console stays quick, memory bounded, feedback whole.

The clients are ``tests.support.manyclients``: real TLS, real words of the protocol, no disks.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from castcore.control import API
from castcore.disk import Extent
from castcore.units import MIB
from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.accounts.sessions import COOKIE

from tests.net.namespaces import Cable, cable, connected, inside, ip
from tests.net.test_server_serve import ADDRESS, CLIENT_ADDRESS, Served, serving
from tests.support.figures import tell
from tests.support.images import make_image, noise
from tests.support.licences import ISSUER
from tests.support.licensedmedium import balance, licensed_medium
from tests.support.tally import percentiles

pytestmark = pytest.mark.root

SECONDS = 600.0
# Of the slowest page or call alone, in seconds; of two processors, which the clients need as well.
SLOWEST, MOST_PROCESSOR = 1.0, 1.2
SPARE = 7  # licences that are left over
STREAMS, IDLE_SECONDS, FEEDBACK_PORT, GROWTH = 5, 15.0, 7101, 64
# What people and scripts look at, again and again, while a cast runs.
PAGES = (
    *("/", "/live", "/machines", "/machines/{client}", "/images", "/licences", "/history"),
    *("/logs", "/audit", "/settings", "/account", "/docs"),
)
CALLS = ("state", "clients", "clients/{client}", "casts", "images", "captures", "boots", "audit")
RATE = 4  # MB/s: what two hundred packets a millisecond do to this machine is not the question here


@dataclass(frozen=True)
class Size:
    """How much there is: clients, MiB of the image; and what a server may take for them."""

    clients: int
    image: int
    p95: float
    memory: int
    licensed: bool = False


SIZES = [
    pytest.param(Size(20, 24, 1.0, 400 * MIB), id="20", marks=pytest.mark.full),
    pytest.param(Size(500, 240, 0.3, 500 * MIB), id="500", marks=pytest.mark.full),
    pytest.param(
        Size(500, 48, 0.3, 500 * MIB, licensed=True), id="500 licensed", marks=pytest.mark.full
    ),
]


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("many") as made:
        for space, address in ((made.left, ADDRESS), (made.right, CLIENT_ADDRESS)):
            ip("-n", space, "address", "add", f"{address}/24", "brd", "+", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


class Console:
    """A browser and a script in one: a session and a token, over one kept-alive connection."""

    def __init__(self, served: Served) -> None:
        host, _, port = served.said["url"].removeprefix("https://").partition(":")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        self._line = http.client.HTTPSConnection(host, int(port), timeout=60, context=tls)
        self._token = (served.state / TOKEN_FILE).read_text().strip()
        self._cookie = ""
        self.took: dict[str, list[float]] = {}

    def log_in(self, password: str) -> None:
        form = urlencode({"name": "admin", "password": password})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._line.request("POST", "/login", form, headers)
        answer = self._line.getresponse()
        answer.read()
        assert answer.status == 303
        self._cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
        assert self._cookie.startswith(COOKIE)

    def page(self, path: str) -> str:
        return self._get(path, {"Cookie": self._cookie}).decode()

    def call(self, path: str) -> Any:
        return json.loads(self._get(f"{API}/{path}", {"Authorization": f"Bearer {self._token}"}))

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self._line.request("POST", f"{API}/{path}", json.dumps(body or {}), headers)
        answer = self._line.getresponse()
        data = answer.read()
        assert answer.status < 300, data
        return json.loads(data)

    def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Read the event stream as long as ``heard`` wants more lines."""
        self._line.request("GET", f"{API}/events", headers={"Cookie": self._cookie})
        answer = self._line.getresponse()
        while heard(answer.readline()):
            pass

    def look_at_all(self, client: str) -> None:
        """One round of everything."""
        for path in PAGES:
            self.page(path.format(client=client))
        for path in CALLS:
            self.call(path.format(client=client))

    def _get(self, path: str, headers: dict[str, str]) -> bytes:
        began = time.monotonic()
        self._line.request("GET", path, headers=headers)
        answer = self._line.getresponse()
        data = answer.read()
        assert answer.status == 200, (path, answer.status, data[:200])
        self.took.setdefault(path, []).append(time.monotonic() - began)
        return data


@dataclass
class Streams:
    """Event streams that are open all the time."""

    served: Served
    password: str
    events: list[int] = field(default_factory=list)
    size: int = 0
    over: bool = False

    def open(self) -> None:
        for number in range(STREAMS):
            self.events.append(0)
            threading.Thread(target=self._run, args=(number,), daemon=True).start()

    def _run(self, number: int) -> None:
        def heard(line: bytes) -> bool:
            if line.startswith(b"data: "):
                self.events[number] += 1
                self.size = max(self.size, len(line))
            return not self.over and line != b""

        def listen() -> None:
            console = Console(self.served)
            console.log_in(self.password)
            console.listen(heard)

        inside(self.served.wire.right, listen, timeout=SECONDS)


class Process:
    """What a process takes: memory now and at most, processor seconds."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def memory(self, word: str = "VmRSS") -> int:
        line = next(n for n in (self._folder / "status").read_text().splitlines() if n.startswith(word))
        return int(line.split()[1]) * 1024

    def seconds(self) -> float:
        times = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def dropped(space: str, port: int) -> int:
    """Datagrams to ``port`` that the kernel threw away in a namespace; 0 when nobody listens there."""
    table = inside(space, lambda: Path("/proc/thread-self/net/udp").read_text())
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].partition(":")[2], 16) == port)


class Crowd:
    """The process of the clients, and what it says."""

    def __init__(self, served: Served, clients: int) -> None:
        said = served.said
        program = [sys.executable, "-m", "tests.support.manyclients"]
        words = [said["url"], said["certificate_digest"], said["key"], served.wire.wire]
        line = ["ip", "netns", "exec", served.wire.right, *program, *words, "1", str(clients)]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        return said


@contextmanager
def crowd(served: Served, clients: int) -> Iterator[Crowd]:
    made = Crowd(served, clients)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def all_took(took: dict[str, list[float]]) -> list[float]:
    return [seconds for times in took.values() for seconds in times]


@pytest.mark.parametrize("size", SIZES)
def test_a_console_stays_quick_while_all_are_cast_to(size: Size, wire: Cable, tmp_path: Path) -> None:
    store, state, medium = tmp_path / "images", tmp_path / "state", tmp_path / "medium.img"
    more = fill(tmp_path / "raw", store, medium, size)
    with serving(wire, store, state, "--rate", str(RATE), "--boot-mode", "off", *more) as served:
        assert served.process.stdout is not None
        password = json.loads(served.process.stdout.readline())["password"]
        story = Story(served, password, size)
        inside(wire.right, story.run, timeout=SECONDS)
        story.judge()
        served.process.terminate()
        served.process.wait(SECONDS)
    if size.licensed:
        found = balance(medium)
        assert (found.consumed, found.reserved, found.left) == (size.clients, 0, SPARE)


def fill(raw: Path, store: Path, medium: Path, size: Size) -> tuple[str, ...]:
    """Make the image, in the library or with licences on a medium; what the server is told of that."""
    store.mkdir()
    if size.licensed:
        licensed_medium(medium, raw, size.clients + SPARE, size=size.image * MIB)
        return ("--media", str(medium), "--licence-issuer", ISSUER.public.hex())
    raw.write_bytes(noise(size.image * MIB, 7))
    make_image(store, "system", raw, (Extent(0, size.image * MIB),))
    return ()


class Story:
    """A room that registers, is looked at, is cast to and looked at again."""

    def __init__(self, served: Served, password: str, size: Size) -> None:
        self.served, self.password, self.size = served, password, size
        self.server = Process(served.process.pid)
        self.memory = {"start": self.server.memory()}
        self.figures: dict[str, Any] = {}
        self.cast: dict[str, Any] = {}
        self.heard = self.dropped = 0

    def run(self) -> None:
        self.console = console = Console(self.served)
        console.log_in(self.password)
        with crowd(self.served, self.size.clients) as room:
            registered = room.next()
            assert registered["event"] == "registered", registered
            self.figures["registered"] = registered
            streams = Streams(self.served, self.password)
            streams.open()
            client = console.call("clients")[0]["client"]
            self.memory["registered"] = self.server.memory()
            self._look(console, "idle", client, self._after(IDLE_SECONDS))
            wishes = {"image": "system", "start_clients": self.size.clients, "after": "stay"}
            self.cast = console.post("casts", wishes)
            self._look(console, "casting", client, self._over)
            self.figures["done"] = room.next()
            streams.over = True
        self.figures["events"], self.figures["event size"] = streams.events, streams.size
        self.memory |= {"end": self.server.memory(), "most": self.server.memory("VmHWM")}

    def _look(self, console: Console, name: str, client: str, over: Callable[[], bool]) -> None:
        """Look at everything, round by round, until it is ``over``."""
        rounds: list[float] = []
        console.took = {}
        began, used = time.monotonic(), self.server.seconds()
        while not over():
            console.look_at_all(client)
            rounds.append(self.server.memory() / MIB)
            time.sleep(0.5)
        took = time.monotonic() - began
        self.figures[name] = {
            "seconds": took,
            "processor": (self.server.seconds() - used) / took,
            "all": percentiles(all_took(console.took)),
            "each": {path: percentiles(times)["p95"] for path, times in console.took.items()},
            "memory": [round(m) for m in rounds],
        }

    def _after(self, seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() > end

    def _over(self) -> bool:
        """Whether the cast has ended; notes how its sender stands, and what the kernel dropped."""
        self.cast = self.console.call(f"casts/{self.cast['cast']}")
        sender = self.cast["sender"]
        if sender is not None and sender["clients"]:
            self.heard = max(self.heard, sender["heard"])
        self.dropped = max(self.dropped, dropped(self.served.wire.left, FEEDBACK_PORT))
        return self.cast["ended"] is not None

    def judge(self) -> None:
        tell(**self.figures, MiB={k: v // MIB for k, v in self.memory.items()})
        clients, done = self.size.clients, self.figures["done"]
        assert self.cast["state"] == "done", self.cast["message"]
        assert [part["state"] for part in self.cast["parts"]] == ["done"] * clients
        assert (done["done"], done["failures"]) == (clients, 0), done["failed"]
        assert all(events > 0 for events in self.figures["events"])
        assert self.dropped == 0
        assert self.heard == done["feedback"], "feedback was lost"
        casting = self.figures["casting"]
        assert casting["all"]["p95"] < self.size.p95
        assert max(casting["each"].values()) < SLOWEST
        assert casting["processor"] < MOST_PROCESSOR
        assert self.memory["most"] < self.size.memory
        # Joins take memory, once; what comes after them are reports alone.
        memory = casting["memory"]
        half = len(memory) // 2
        assert max(memory[half:]) - max(memory[:half]) < GROWTH

"""Who is let in, with a real server and real clients: approval by hand, an impostor, a stolen token."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from castcore.control import API
from castcore.disk import Extent
from castcore.edge import run
from castcore.edge.net.identity import CERTIFICATE_FILE, certificate_digest
from castcore.edge.net.pinned import PinnedHttps
from castcore.errors import Refused
from castcore.proof import PROOF_HEADER
from castcore.units import MIB

from tests.net.namespaces import Cable, cable, connected, inside, ip
from tests.support.castlab import ENVIRONMENT
from tests.support.images import blank, make_image, noise, write_at
from tests.support.registering import registered
from tests.support.serverlab import registration

pytestmark = pytest.mark.root

SIZE = 8 * MIB
ADDRESS = "192.0.2.1"
URL = f"https://{ADDRESS}:8443"
SECONDS = 120.0


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("trust") as made:
        for space, address in ((made.left, ADDRESS), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


class Server:
    """`fleetcast serve` on the left end, with one image, and its command line."""

    def __init__(self, wire: Cable, folder: Path, *more: str) -> None:
        self.wire, self.folder = wire, folder
        self.state = folder / "state"
        options = ["--state", self.state, "--images", folder / "images", "--interface", wire.wire]
        self.line = self._program("serve", *map(str, options), *more)

    def _program(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.wire.left, sys.executable, "-m", "castserver", *words]

    @contextmanager
    def running(self) -> Iterator[Server]:
        with (
            (self.folder / "server.log").open("ab") as log,
            run.started(self.line, merged=True, stdout=log, extra_env=ENVIRONMENT),
        ):
            yield self

    def command(self, *words: str) -> Any:
        """The result of an operator's command; None: it was refused."""
        line = self._program(*words, "--json", "--state", str(self.state))
        done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None

    def machine(self) -> Any:
        """The one machine that it knows."""
        (only,) = self.command("machines", "list")["machines"]
        return only

    def https(self, token: str = "") -> PinnedHttps:
        return PinnedHttps(URL, certificate_digest(self.state / CERTIFICATE_FILE), token)


class Machine:
    """`fleetcast-client run` on the right end. All of them are one machine: one card and one disk."""

    def __init__(self, process: Popen[bytes]) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"{"):
                self.said.append(json.loads(line))

    def now(self) -> dict[str, str]:
        """The fields of the last line of state."""
        lines = [said["line"] for said in list(self.said) if said.get("event") == "state"]
        fields = [field.partition("=") for field in (lines[-1].split()[1:] if lines else [])]
        return {name: value for name, _, value in fields}

    def comes_to(self, state: str) -> dict[str, str]:
        until(lambda: self.now().get("state") == state, lambda: f"not {state}: {self.said[-3:]}")
        return self.now()


@contextmanager
def client(wire: Cable, target: Path) -> Iterator[Machine]:
    words = [sys.executable, "-m", "castclient", "run", "--json", "--target", str(target)]
    line = ["ip", "netns", "exec", wire.right, *words, "--interface", wire.wire]
    with run.started(line, merged=True, extra_env=ENVIRONMENT) as process:
        yield Machine(process)


def until(holds: Callable[[], bool], or_else: Callable[[], str] = lambda: "it did not come") -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, or_else()
        time.sleep(0.2)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(3 * MIB, 1))
    make_image(tmp_path / "images", "system", raw, (Extent(0, 3 * MIB),))
    return blank(tmp_path / "target.raw", SIZE)


def test_a_machine_gets_nothing_until_it_is_approved_by_its_code(
    wire: Cable, target: Path, tmp_path: Path
) -> None:
    cast = ("--approve-clients", "--image", "system", "--start-clients", "1")
    with Server(wire, tmp_path, *cast).running() as server, client(wire, target) as machine:
        code = machine.comes_to("waiting")["machine-code"]
        found = server.machine()
        assert (found["state"], found["trust"]["code"]) == ("waiting", code)
        (running,) = server.command("casts", "list")["casts"]
        assert running["parts"] == []
        assert target.read_bytes() == bytes(SIZE)
        assert server.command("machines", "approve", found["client"], "acid-acid-acid-acid") is None
        assert server.command("machines", "approve", found["client"], code) is not None
        machine.comes_to("done")
        assert machine.process.wait(SECONDS) == 0
        assert target.read_bytes()[: 3 * MIB] == noise(3 * MIB, 1)


def test_an_impostor_waits_is_shown_and_the_operator_decides(
    wire: Cable, target: Path, tmp_path: Path
) -> None:
    with Server(wire, tmp_path).running() as server, client(wire, target) as first:
        first.comes_to("ready")
        with client(wire, target) as second:
            code = second.comes_to("waiting")["machine-code"]
            time.sleep(12)  # longer than a silent one would be waited for
            assert first.now()["state"] == "ready"
            assert second.now()["state"] == "waiting"
            found = server.machine()
            assert [r["code"] for r in found["trust"]["rivals"]] == [code]
            assert "2 machines say" in found["why"]
            # The first one dies without a word: the second is let in by itself.
            first.process.kill()
            second.comes_to("ready")
            with client(wire, target) as third:
                mine = third.comes_to("waiting")["machine-code"]
                assert server.command("machines", "approve", found["client"]) is None
                assert server.command("machines", "approve", found["client"], mine) is not None
                third.comes_to("ready")
                second.comes_to("waiting")


def test_a_stolen_token_and_a_recorded_request_are_worth_nothing(
    wire: Cable, target: Path, tmp_path: Path
) -> None:
    assert target.exists()
    with Server(wire, tmp_path).running() as server:
        until(lambda: server.command("media", "list") is not None)

        def story() -> None:
            name, https = registered(server.https(), registration(1))
            assert https.prover is not None
            path = f"{API}/clients/{name}/orders?after=0&wait=0"
            assert https.get_json(path) == {"orders": []}
            thief = server.https(https.prover.token)
            with pytest.raises(Refused, match="no proof"):
                thief.get_json(path)
            recorded = {
                "Authorization": f"Bearer {https.prover.token}",
                PROOF_HEADER: https.prover.header("GET", path),
            }
            assert [_sent(path, recorded) for _ in range(3)] == [200, 401, 401]
            assert https.get_json(path) == {"orders": []}, "and the client itself goes on"

        inside(wire.right, story, timeout=SECONDS)


def _sent(path: str, headers: dict[str, str]) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(ADDRESS, 8443, timeout=20, context=context)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()

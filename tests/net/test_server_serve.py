"""``fleetcast serve`` as a process: a client on the other end of a cable is cast to through it."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from castcore.cast.descriptor import open_descriptor
from castcore.cast.values import ReceiveResult
from castcore.control import API
from castcore.disk import Extent
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.cast.discovery import find_servers
from castcore.edge.cast.receiver import receive
from castcore.edge.commandline import Screen
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.net.pinned import PinnedHttps
from castcore.errors import ExitCode, FleetcastError
from castcore.image import parse_index, parse_manifest
from castcore.progress import silent
from castcore.units import MIB
from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.commands import serve

from tests.net.namespaces import Cable, cable, connected, inside, ip
from tests.support.images import make_image, noise
from tests.support.registering import registered
from tests.support.serverlab import registration

pytestmark = pytest.mark.root

ADDRESS, CLIENT_ADDRESS = "10.77.0.1", "10.77.0.2"
SIZE = 24 * MIB
SECONDS = 60.0


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Iterator[Cable]:
    with cable("srv") as made:
        for space, address in ((made.left, ADDRESS), (made.right, CLIENT_ADDRESS)):
            ip("-n", space, "address", "add", f"{address}/24", "brd", "+", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 7))
    folder = tmp_path / "images"
    folder.mkdir()
    make_image(folder, "lab", raw, (Extent(0, SIZE),))
    return folder


@dataclass
class Served:
    """A running server process, what it said at its start, and how to call it."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    wire: Cable
    state: Path

    def https(self, token: str = "") -> PinnedHttps:
        return PinnedHttps(self.said["url"], bytes.fromhex(self.said["certificate_digest"]), token)

    def cast(self, cast: str) -> Any:
        """The operator's view of one cast."""
        token = (self.state / TOKEN_FILE).read_text().strip()
        return inside(self.wire.left, lambda: self.https(token).get_json(f"{API}/casts/{cast}"))

    def command(self, *words: str) -> Any:
        """The result of an operator's command, run where the server runs."""
        line = [*words, "--json", "--server", self.said["url"], "--state", str(self.state)]
        done = subprocess.run(
            _fleetcast(self.wire.left, line),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def _fleetcast(space: str, words: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", space, sys.executable, "-m", "castserver", *words]


def serve_line(
    wire: Cable, store: Path, state: Path, *more: str, under: Sequence[str] = ()
) -> list[str]:
    line = ["serve", "--json", "--state", str(state), "--images", str(store), "--interface", wire.wire]
    where, program = _fleetcast(wire.left, [])[:4], _fleetcast(wire.left, [*line, *more])[4:]
    return [*where, *under, *program]


@contextmanager
def serving(
    wire: Cable, store: Path, state: Path, *more: str, under: Sequence[str] = ()
) -> Iterator[Served]:
    """The server; ``under``: a program that starts it."""
    line = serve_line(wire, store, state, *more, under=under)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [json.loads(next(process.stdout, "{}"))]
        while lines[-1].get("event") == "booting":  # what becomes of each interface comes first
            lines.append(json.loads(next(process.stdout, "{}")))
        said = lines[-1]
        assert said.get("event") == "serving", lines
        yield Served(process, said, wire, state)
    finally:
        process.kill()
        process.wait()


def eventually(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


class Client:
    """A client without a boot environment: real protocol, real disk writing, into a file."""

    def __init__(self, served: Served, target: Path) -> None:
        self.served, self.https, self.target = served, served.https(), target
        self.id = ""
        self.receiving = threading.Event()

    def register(self) -> None:
        self.id, self.https = registered(self.https, registration(1))

    def order(self) -> str:
        """The cast of the first order."""
        path = f"{API}/clients/{self.id}/orders?after=0&wait=20"
        return str(self.https.get_json(path, timeout=30)["orders"][0]["cast"])

    def take(self, cast: str) -> ReceiveResult:
        """Receive and write the cast, and report it with its proof."""
        control = HttpsCastControl(self.https, cast)
        descriptor = open_descriptor(control.descriptor(), bytes.fromhex(self.served.said["key"]))
        manifest = parse_manifest(control.manifest())
        index = parse_index(control.index(), manifest)
        with BlockFile.open_target(self.target) as disk:
            sink = DiskSink(manifest, index, [disk])
            sink.write_zeros()
            self.receiving.set()
            result = receive(
                control, descriptor, index.stored_lengths(), sink, interface="wire0", progress=silent
            )
            sink.finish()
        report = {
            "state": "done",
            "cast": cast,
            "root": manifest.index_digest.hex(),
            "multicast": result.multicast,
            "unicast": result.unicast,
        }
        self.https.post_json(f"{API}/clients/{self.id}/report", report)
        return result


def blank(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def test_a_machine_is_found_cast_to_and_proven(wire: Cable, store: Path, tmp_path: Path) -> None:
    with serving(wire, store, tmp_path / "state") as served:
        (found,) = inside(wire.right, lambda: find_servers([wire.wire], seconds=2))
        assert (found.url, found.key.hex()) == (f"https://{ADDRESS}:8443", served.said["key"])
        cast = served.command("casts", "create", "--image", "lab", "--start-clients", "1")["cast"]
        client = Client(served, blank(tmp_path / "target.raw"))

        def story() -> ReceiveResult:
            client.register()
            assert client.order() == cast
            return client.take(cast)

        result = inside(wire.right, story, timeout=SECONDS)
        assert client.target.read_bytes() == (tmp_path / "source.raw").read_bytes()
        assert result.multicast >= 0.95 * SIZE, result
        assert served.command("casts", "show", cast)["state"] == "done"
        assert served.command("machines", "show", client.id)["boots"] == "local"
        assert served.command("machines", "boot-client", client.id)["boots"] == "client"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == ExitCode.OK
    with serving(wire, store, tmp_path / "state") as again:
        told = [e["action"] for e in again.command("audit", "show", "--who", "server")["result"]]
        its_cast = [f"cast {cast} started", f"cast {cast} ended"]
        off = "PXE deploy off"
        assert [action for action in told if action != off] == [
            "server started",
            *its_cast,
            "server stopped",
            "server started",
        ]
        assert again.command("audit", "verify")["broken"] is None


def test_a_server_killed_in_the_middle_comes_back_and_the_client_finishes(
    wire: Cable, store: Path, tmp_path: Path
) -> None:
    state, slow = tmp_path / "state", ("--rate", "4")
    with serving(wire, store, state, *slow) as served:
        cast = served.command("casts", "create", "--image", "lab", "--start-clients", "1")["cast"]
        client = Client(served, blank(tmp_path / "target.raw"))
        results: list[ReceiveResult] = []

        def story() -> None:
            client.register()
            client.order()
            results.append(client.take(cast))

        whole = threading.Thread(target=lambda: inside(wire.right, story, timeout=SECONDS))
        whole.start()
        assert client.receiving.wait(20)
        eventually(lambda: served.cast(cast)["state"] == "running")
        time.sleep(1.5)
        served.process.kill()
        served.process.wait()
    assert results == []
    with serving(wire, store, state, *slow) as again:
        assert again.said["key"] == served.said["key"]
        whole.join(SECONDS)
        assert len(results) == 1
        assert client.target.read_bytes() == (tmp_path / "source.raw").read_bytes()
        shown = again.cast(cast)
        assert shown["state"] == "done"
        assert [p["state"] for p in shown["parts"]] == ["done"]


def test_what_is_wrong_at_the_start_is_one_clear_line(wire: Cable, store: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"

    def refused(*more: str, images: Path = store, state: Path = tmp_path / "other") -> tuple[int, str]:
        line = ["--state", str(state), "--images", str(images), "--interface", wire.wire, *more]
        parser = argparse.ArgumentParser()
        serve.add_arguments(parser)
        screen = Screen(as_json=True, out=io.StringIO(), err=io.StringIO())
        with pytest.raises(FleetcastError) as caught:
            inside(wire.left, lambda: serve.run(parser.parse_args(line), screen))
        return caught.value.exit_code, f"{caught.value.what} ({caught.value.hint})"

    with serving(wire, store, state) as served:
        code, said = refused()
        assert code == ExitCode.PORT_TAKEN
        assert "8443" in said
        assert str(served.process.pid) in said
        code, said = refused("--listen-https", "9443", state=state)
        assert code == ExitCode.IN_USE
        assert str(state) in said
    code, said = refused("--interface", "nosuch0")
    assert code == ExitCode.NOT_FOUND
    assert "nosuch0" in said
    code, said = refused(images=tmp_path / "nowhere")
    assert code == ExitCode.NOT_FOUND
    assert "nowhere" in said
    code, said = refused("--image", "nosuch")
    assert code == ExitCode.NOT_FOUND
    assert "nosuch" in said
    code, said = refused("--boot-mode", "nosuch0=proxy")
    assert code == ExitCode.REFUSED
    assert "nosuch0" in said


def test_secrets_are_the_owners_only(wire: Cable, store: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(wire, store, state):
        modes = {p.name: oct(os.stat(p).st_mode & 0o777) for p in state.iterdir()}
    for name in ("server.key", "tls.key", "operator.token"):
        assert modes[name] == "0o600"
    assert oct(state.stat().st_mode & 0o777) == "0o700"

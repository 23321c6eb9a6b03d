"""The whole way between two namespaces: a real server casts to the real client, which writes a file."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import run
from castcore.edge.image.capture import CaptureOptions, capture
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.net.namespaces import Cable, cable, connected, ip
from tests.support.castlab import ENVIRONMENT
from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

SIZE = 24 * MIB
URL = "https://192.0.2.1:8443"


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("cast") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        connected(made)
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raw disk with noise here and there, and its image in the store ``images``."""
    raw = blank(tmp_path / "source.raw", SIZE)
    parts = (Extent(0, 3 * MIB), Extent(5 * MIB, 12 * MIB), Extent(20 * MIB, 2 * MIB))
    for number, part in enumerate(parts):
        write_at(raw, part.start, noise(part.length // 2, number))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "system", raw, parts)
    return raw


@contextmanager
def serving(wire: Cable, folder: Path, *, megabytes: float = 20) -> Iterator[Popen[bytes]]:
    """`fleetcast serve` on the left end, one cast open that starts with the first client."""
    command = [sys.executable, "-m", "castserver", "serve"]
    options = ["--state", folder / "state", "--images", folder / "images", "--interface", wire.wire]
    cast = ["--image", "system", "--start-clients", "1", "--rate", str(megabytes)]
    with (folder / "server.log").open("ab") as log:
        inside = ["ip", "netns", "exec", wire.left]
        words = [str(w) for w in (*inside, *command, *options, *cast)]
        with run.started(words, merged=True, stdout=log, extra_env=ENVIRONMENT) as process:
            yield process


@contextmanager
def client(wire: Cable, target: Path, *more: str | Path) -> Iterator[Popen[bytes]]:
    """`fleetcast-client run` on the right end, speaking JSON."""
    command = [sys.executable, "-m", "castclient", "run", "--json"]
    options = ["--target", str(target), "--interface", wire.wire, *map(str, more)]
    words = ["ip", "netns", "exec", wire.right, *command, *options]
    with run.started(words, merged=True, extra_env=ENVIRONMENT) as process:
        yield process


def events(process: Popen[bytes], seconds: float = 90) -> list[dict[str, Any]]:
    """Every JSON line of a client that must end in time; its output is small."""
    process.wait(timeout=seconds)
    assert process.stdout is not None
    lines = process.stdout.read().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def states(seen: Sequence[dict[str, Any]]) -> list[str]:
    words = [e["line"].split()[1].removeprefix("state=") for e in seen if e["event"] == "state"]
    return list(dict.fromkeys(words))


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()[:SIZE]).hexdigest()


def test_a_cast_from_discovery_to_proof(wire: Cable, source: Path, tmp_path: Path) -> None:
    target = blank(tmp_path / "target.raw", SIZE + MIB)
    with serving(wire, tmp_path), client(wire, target) as process:
        seen = events(process)
    assert process.returncode == 0, seen
    result = seen[-1]
    assert content(target) == content(source)
    assert result["state"] == "done"
    assert result["multicast"] + result["unicast"] == result["total"]
    assert result["multicast"] >= 0.95 * result["total"]
    manifest = json.loads((tmp_path / "images/system.fcast/manifest.json").read_bytes())
    assert result["root"] in json.dumps(manifest)
    wanted = [
        "searching",
        "registering",
        "ready",
        "planning",
        "joining",
        "receiving",
        "verifying",
        "done",
    ]
    assert [s for s in states(seen) if s in wanted] == wanted


def test_a_disk_that_is_too_small_is_refused_untouched(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "small.raw", 16 * MIB)
    before = content(target)
    with serving(wire, tmp_path), client(wire, target) as process:
        seen = events(process)
    assert process.returncode == ExitCode.DOES_NOT_FIT
    assert "too small" in seen[-1]["error"]
    assert content(target) == before


def two_disks(folder: Path) -> list[Path]:
    """Two raw disks, the first one smaller, and the image "system" of both."""
    raws = [blank(folder / f"disk-{number}.raw", size) for number, size in enumerate((SIZE // 2, SIZE))]
    for number, raw in enumerate(raws):
        for at in (0, 3 * MIB, 9 * MIB + 12345):
            write_at(raw, at, noise(MIB, 10 * number + at % 7))
    first, *more = raws
    (folder / "images").mkdir(exist_ok=True)
    image = folder / "images/system.fcast"
    capture(first, image, more=more, options=CaptureOptions(replace=True))
    return raws


def test_an_image_of_two_disks_is_cast_to_those_that_are_named(wire: Cable, tmp_path: Path) -> None:
    raws = two_disks(tmp_path)
    # Neither their names nor their sizes say which is which: the order they are named in does.
    targets = [blank(tmp_path / name, SIZE + MIB) for name in ("b.raw", "a.raw")]
    for target in targets:
        write_at(target, 0, noise(MIB, 99))
    with serving(wire, tmp_path), client(wire, targets[0], "--target", targets[1]) as process:
        seen = events(process)
    assert process.returncode == 0, seen
    assert seen[-1]["state"] == "done"
    for raw, target in zip(raws, targets, strict=True):
        wanted = raw.read_bytes()
        assert target.read_bytes()[: len(wanted)] == wanted


def test_an_image_of_two_disks_is_refused_by_a_machine_that_names_one(
    wire: Cable, tmp_path: Path
) -> None:
    two_disks(tmp_path)
    target = blank(tmp_path / "target.raw", SIZE)
    with serving(wire, tmp_path), client(wire, target) as process:
        seen = events(process)
    assert process.returncode == ExitCode.DOES_NOT_FIT
    assert "the image holds 2 disks, 1 targets were given" in seen[-1]["error"]
    assert content(target) == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_a_server_that_dies_in_the_middle_is_waited_for(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    with client(wire, target) as process:
        with serving(wire, tmp_path) as server:
            until_receiving(process)
            server.send_signal(signal.SIGKILL)
            server.wait()
        time.sleep(3)
        assert process.poll() is None, "it waits"
        with resuming(wire, tmp_path):
            seen = events(process)
    assert process.returncode == 0, seen
    assert content(target) == content(source)


def test_a_client_killed_in_the_middle_goes_on_where_it_was(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    with serving(wire, tmp_path, megabytes=0.5):
        with client(wire, target) as process:
            until_receiving(process)
            # Long enough for the server to have been told once what is durable.
            time.sleep(12)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with client(wire, target) as process:
            seen = events(process)
    assert process.returncode == 0, seen
    assert content(target) == content(source)
    result = seen[-1]
    assert result["kept"] > 0.2 * result["total"]
    assert result["kept"] + result["multicast"] + result["unicast"] == result["total"]


def until_receiving(process: Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if b"state=receiving" in line:
            return
    pytest.fail("the client ended before it received anything")


@contextmanager
def resuming(wire: Cable, folder: Path) -> Iterator[None]:
    """The same server again: the cast it had goes on by itself."""
    command = [sys.executable, "-m", "castserver", "serve"]
    options = ["--state", folder / "state", "--images", folder / "images", "--interface", wire.wire]
    with (folder / "server.log").open("ab") as log:
        words = [str(w) for w in ("ip", "netns", "exec", wire.left, *command, *options)]
        with run.started(words, merged=True, stdout=log, extra_env=ENVIRONMENT):
            yield


def test_the_wrong_key_is_never_followed(wire: Cable, source: Path, tmp_path: Path) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    with serving(wire, tmp_path), client(wire, target, "--server", URL, "--key", "ab" * 32) as process:
        time.sleep(12)
        assert process.poll() is None
        process.terminate()
        seen = events(process)
    assert set(states(seen)) <= {"starting", "searching"}
    assert content(target) == hashlib.sha256(bytes(SIZE)).hexdigest()

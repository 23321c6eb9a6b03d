"""Disks captured over a network: a real server, real clients, a lost link, a kill on either side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from castcore.control import API
from castcore.edge import run
from castcore.edge.disk.survey import SurveyOptions
from castcore.edge.image.capture import CaptureOptions
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import verify_image
from castcore.edge.net.pinned import PinnedHttps
from castcore.edge.upload.capturing import Captured, capture_to_server
from castcore.errors import NoSpace
from castcore.units import MIB
from castserver.accounts.operatortoken import TOKEN_FILE

from tests.net.namespaces import Cable, cable, inside, ip
from tests.support.castlab import ENVIRONMENT
from tests.support.images import gpt_disk, noise, write_at
from tests.support.registering import registered
from tests.support.serverlab import registration

pytestmark = pytest.mark.root

SIZE = 160 * MIB
URL = "https://192.0.2.1:8443"
SECONDS = 90.0
FULL = CaptureOptions(survey=SurveyOptions(full_sectors=True))


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Cable]:
    (tmp_path / "images").mkdir()
    with cable("capt") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return disk(tmp_path / "source.raw", 1)


def disk(path: Path, seed: int, megabytes: int = 120) -> Path:
    """A disk with one partition; all of it is in use, ``megabytes`` of it noise."""
    gpt_disk(path, SIZE)
    for at in range(2, 2 + megabytes):
        write_at(path, at * MIB, noise(MIB, 1000 * seed + at))
    return path


class Lab:
    """The server on the left end, and the operator's commands there."""

    def __init__(self, wire: Cable, folder: Path, images: Path) -> None:
        self.wire, self.folder, self.images = wire, folder, images

    @contextmanager
    def serving(self, *more: str | Path) -> Iterator[Popen[bytes]]:
        options = ["--state", self.folder / "state", "--images", self.images]
        words = [*self._fleetcast("serve"), *options, "--interface", self.wire.wire, "--json", *more]
        with (self.folder / "server.log").open("ab") as log:
            line = [str(word) for word in words]
            process = Popen(line, stdout=subprocess.PIPE, stderr=log)
            try:
                assert process.stdout is not None
                said = json.loads(process.stdout.readline() or b"{}")
                assert said.get("event") == "serving", said
                self.digest = bytes.fromhex(said["certificate_digest"])
                yield process
            finally:
                run.stop(process)

    @contextmanager
    def client(self, target: Path) -> Iterator[Popen[bytes]]:
        command = [sys.executable, "-m", "castclient", "run", "--json", "--target", str(target)]
        words = ["ip", "netns", "exec", self.wire.right, *command, "--interface", self.wire.wire]
        with run.started(words, merged=True, extra_env=ENVIRONMENT) as process:
            yield process

    def command(self, *words: str, code: int = 0) -> Any:
        line = [*self._fleetcast(*words), "--json", "--state", str(self.folder / "state")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return json.loads((done.stdout or done.stderr).splitlines()[-1])

    def get(self, path: str) -> Any:
        """The operator's view of something, without a command's start."""
        token = (self.folder / "state" / TOKEN_FILE).read_text().strip()
        https = PinnedHttps(URL, self.digest, token)
        return inside(self.wire.left, lambda: https.get_json(f"{API}/{path}"))

    def machine(self) -> str:
        """The id of the client, once it is ready."""

        def ready() -> str:
            return next((m["client"] for m in self.get("clients") if m["state"] == "ready"), "")

        return str(until(ready))

    def reading(self, capture: str, least: int = 30 * MIB) -> None:
        """Return when a part of the disk was read."""

        def read() -> bool:
            report = self.get(f"captures/{capture}")["report"]
            return report is not None and report["done"] >= least

        until(read)

    def registered(self, number: int) -> PinnedHttps:
        """A connection of machine ``number`` of a room of equal ones."""
        return registered(PinnedHttps(URL, self.digest), registration(number))[1]

    def _fleetcast(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.wire.left, sys.executable, "-m", "castserver", *words]


def until(look: Callable[[], Any], seconds: float = SECONDS) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    pytest.fail("it did not happen")


def slow(space: str, wire: str, rate: str) -> None:
    """Let ``space`` send no faster than ``rate`` (tc's words)."""
    words = ["qdisc", "replace", "dev", wire, "root", "tbf", "rate", rate, "burst", "64kb"]
    run.run(["tc", "-n", space, *words, "latency", "100ms"], timeout=20)


def holds(image: Path, raw: Path) -> None:
    """The image at ``image`` is whole, and of the disk ``raw``."""
    with Image.open(image) as found:
        verify_image(found)
        content = raw.read_bytes()
        for number, record in enumerate(found.index.records[:-1]):
            assert found.content(number) == content[record.offset : record.offset + record.length]


def ended(process: Popen[bytes]) -> Sequence[dict[str, Any]]:
    process.wait(timeout=SECONDS)
    assert process.stdout is not None
    return [json.loads(x) for x in process.stdout.read().decode().splitlines() if x.startswith("{")]


@pytest.mark.full
def test_a_machines_disk_is_captured_by_order(wire: Cable, source: Path, tmp_path: Path) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    before = source.read_bytes()
    with lab.serving(), lab.client(source) as process:
        capture = lab.command("captures", "start", lab.machine(), "office", "--full-sectors", "--wait")
        seen = ended(process)
        assert process.returncode == 0, seen
        assert seen[-1]["state"] == "done"
        assert any("state=capturing" in e.get("line", "") for e in seen)
        assert (capture["state"], capture["root"]) == ("done", seen[-1]["root"])
        assert capture["image"].startswith("office-")
        [listed] = lab.command("captures", "list")["captures"]
        assert listed["capture"] == capture["capture"]
    holds(lab.images / f"{capture['image']}.fcast", source)
    assert source.read_bytes() == before
    assert [p.name for p in lab.images.iterdir()] == [f"{capture['image']}.fcast"]


def test_a_cut_link_and_a_killed_server_and_client_cost_no_chunk_twice(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    slow(wire.right, wire.wire, "80mbit")
    with lab.client(source) as first:
        with lab.serving() as server:
            capture = lab.command("captures", "start", lab.machine(), "office", "--full-sectors")
            name = capture["capture"]
            lab.reading(name)
            ip("-n", wire.left, "link", "set", wire.wire, "down")
            time.sleep(4)
            ip("-n", wire.left, "link", "set", wire.wire, "up")
            lab.reading(name, 50 * MIB)
            server.send_signal(signal.SIGKILL)
            server.wait()
        with lab.serving():
            lab.reading(name, 70 * MIB)
            first.send_signal(signal.SIGKILL)
            first.wait()
            slow(wire.right, wire.wire, "2gbit")
            sent = counted(wire)
            with lab.client(source) as second:
                done = lab.command("captures", "wait", name)
                ended(second)
            assert counted(wire) - sent < 100 * MIB, "what had arrived was not sent again"
    holds(lab.images / f"{done['image']}.fcast", source)


def counted(wire: Cable) -> int:
    """The bytes that came to the server so far."""
    words = ["ip", "-n", wire.left, "-j", "-s", "link", "show", "dev", wire.wire]
    value = json.loads(run.run(words, timeout=20))
    return int(value[0]["stats64"]["rx"]["bytes"])


def test_machines_that_ask_for_one_name_at_a_time_get_two_images(wire: Cable, tmp_path: Path) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    disks = [disk(tmp_path / f"disk{n}.raw", n, 30) for n in (1, 2, 3)]

    def upload(number: int) -> Captured:
        def work() -> Captured:
            https = lab.registered(number)
            return capture_to_server(https, [disks[number - 1]], "office", options=FULL)

        done = inside(wire.right, work)
        assert isinstance(done, Captured)
        return done

    with lab.serving(), ThreadPoolExecutor(3) as pool:
        captured = list(pool.map(upload, (1, 2, 3)))
    assert len({one.manifest.name for one in captured}) == 3
    for one, raw in zip(captured, disks, strict=True):
        with Image.open(lab.images / f"{one.manifest.name}.fcast") as image:
            verify_image(image)
            assert image.content(0) == raw.read_bytes()[:MIB]


def test_a_full_library_is_a_clear_error_and_leaves_nothing(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    images = tmp_path / "small"
    images.mkdir()
    run.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(images)], timeout=20)
    try:
        lab = Lab(wire, tmp_path, images)
        with lab.serving():
            with pytest.raises(NoSpace, match="library"):
                inside(
                    wire.right,
                    lambda: capture_to_server(lab.registered(1), [source], "office", options=FULL),
                )
            assert list(images.iterdir()) == []
            [capture] = lab.command("captures", "list")["captures"]
            assert capture["state"] == "failed"
            assert "is full" in capture["message"]
    finally:
        run.run(["umount", "-l", str(images)], timeout=20)


@pytest.mark.full
def test_a_cancelled_capture_ends_at_the_machine_and_leaves_nothing(
    wire: Cable, source: Path, tmp_path: Path
) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    slow(wire.right, wire.wire, "80mbit")
    with lab.serving(), lab.client(source) as process:
        capture = lab.command("captures", "start", lab.machine(), "--full-sectors")["capture"]
        lab.reading(capture, 10 * MIB)
        assert lab.command("captures", "cancel", capture)["state"] == "cancelled"
        seen = ended(process)
        assert process.returncode != 0
        assert "was cancelled by the operator" in seen[-1]["error"]
        assert list(lab.images.iterdir()) == []
        assert (lab.folder / "state" / TOKEN_FILE).exists()

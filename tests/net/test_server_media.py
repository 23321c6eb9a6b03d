"""A real server, and deploy media in files and loop devices: used, cast from, pulled out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from castcore.disk import Extent
from castcore.edge.medium import open_medium
from castcore.edge.medium.mounting import FOLDER
from castcore.edge.run import run
from castcore.errors import ExitCode
from castcore.units import MIB

from tests.net.namespaces import Cable, cable, ip
from tests.net.test_capture_network import Lab, ended, slow, until
from tests.support.bootroom import make_tree
from tests.support.deploymedia import bare_medium
from tests.support.figures import tell
from tests.support.images import blank, make_image, noise

pytestmark = pytest.mark.root

SIZE = 40 * MIB
# A medium that is pulled out ends its casts so soon, in seconds.
SOON = 2.0


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Cable]:
    (tmp_path / "images").mkdir()
    with cable("media") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("source") / "disk.raw"
    raw.write_bytes(noise(SIZE, 3))
    return raw


@pytest.fixture
def medium(tmp_path: Path, source: Path) -> Path:
    """A deploy medium with the image "stick", away from where the server looks for it."""
    return medium_with(tmp_path / "away.img", "Room 1", source)


def medium_with(path: Path, name: str, source: Path) -> Path:
    bare_medium(path, name=name)
    with open_medium(path, writable=True) as opened:
        make_image(opened.images, "stick", source, (Extent(0, SIZE),))
    return path


@contextmanager
def loop(file: Path) -> Iterator[Path]:
    device = run(["losetup", "--find", "--show", str(file)], timeout=20).decode().strip()
    try:
        yield Path(device)
    finally:
        run(["losetup", "--detach", device], timeout=20, ok=(0, 1))


def mounted(server: Popen[bytes]) -> int:
    """How many media the ``server`` has mounted, in the mount namespace of its own."""
    return len(_media_mounts(server.pid) - _media_mounts(os.getpid()))


def _media_mounts(process: int) -> set[str]:
    points = (line.split()[1] for line in Path(f"/proc/{process}/mounts").read_text().splitlines())
    return {point for point in points if point.startswith(f"{FOLDER}/")}


def state(lab: Lab) -> str:
    return str(lab.get("media")["state"])


def test_a_medium_that_comes_is_used_and_its_image_is_cast(
    wire: Cable, medium: Path, source: Path, tmp_path: Path
) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    there, target = tmp_path / "medium.img", blank(tmp_path / "target.raw", SIZE + MIB)
    with lab.serving("--media", there):
        assert state(lab) == "no medium"
        medium.rename(there)
        until(lambda: state(lab) == "medium connected", 20)
        [listed] = lab.command("media", "list")["media"]
        assert (listed["name"], listed["used"], listed["where"]) == ("Room 1", True, str(there))
        with lab.client(target) as process:
            lab.machine()
            lab.command("casts", "create", "--image", "stick", "--start-clients", "1")
            seen = ended(process)
        assert process.returncode == 0, seen
        assert target.read_bytes()[:SIZE] == source.read_bytes()


@pytest.mark.parametrize("kind", ["file", pytest.param("loop", marks=pytest.mark.full)])
def test_a_medium_pulled_in_the_middle_of_a_cast_ends_it(
    wire: Cable, medium: Path, source: Path, tmp_path: Path, kind: str
) -> None:
    lab = Lab(wire, tmp_path, tmp_path / "images")
    target = blank(tmp_path / "target.raw", SIZE + MIB)
    other = medium_with(tmp_path / "other.img", "Room 2", source)
    before = medium.read_bytes()[-64 * MIB :]
    with loop(medium) as device:
        where = medium if kind == "file" else device
        # The one named last is the one used.
        with lab.serving("--media", other, "--media", where) as server, lab.client(target) as process:
            lab.machine()
            assert mounted(server) == 2
            assert [m["used"] for m in lab.get("media")["media"]] == [False, True]
            slow(wire.left, wire.wire, "8mbit")
            cast = lab.command("casts", "create", "--image", "stick", "--start-clients", "1")["cast"]
            until(lambda: lab.get(f"casts/{cast}")["state"] == "running", 20)
            time.sleep(1)
            pulled = time.monotonic()
            if kind == "file":
                medium.rename(tmp_path / "pulled.img")
            else:
                run(["losetup", "--detach", str(device)], timeout=20)
            until(lambda: lab.get(f"casts/{cast}")["state"] == "failed", 20)
            took = time.monotonic() - pulled
            said = lab.get(f"casts/{cast}")
            assert "medium Room 1" in said["message"]
            assert "pulled out" in said["message"]
            assert {part["state"] for part in said["parts"]} == {"failed"}
            slow(wire.left, wire.wire, "1gbit")
            media = lab.get("media")
            assert media["state"] == "no medium", "though Room 2 is connected"
            assert [(m["name"], m["used"]) for m in media["media"]] == [("Room 2", False)]
            assert "stick" not in {i["image"] for i in lab.get("images")}
            until(lambda: mounted(server) == 1, 20)
            # Connected again, it is used.
            other.rename(tmp_path / "parked.img")
            until(lambda: not lab.get("media")["media"], 20)
            (tmp_path / "parked.img").rename(other)
            until(lambda: state(lab) == "medium connected", 20)
            seen = ended(process)
            assert process.returncode == ExitCode.NETWORK, seen
            assert "ended" in seen[-1]["error"], seen[-1]
    tell(pulled=kind, cast_failed_after_seconds=round(took, 2))
    assert took < SOON
    left = tmp_path / "pulled.img" if kind == "file" else medium
    assert left.read_bytes()[-64 * MIB :] == before, "not a byte of it changed"


@pytest.mark.full
def test_a_mediums_pxe_tree_is_served_and_goes_with_it(
    wire: Cable, medium: Path, tmp_path: Path
) -> None:
    with open_medium(medium, writable=True) as opened:
        opened.pxe_tree.mkdir()
        make_tree(opened.pxe_tree)
    lab, there = Lab(wire, tmp_path, tmp_path / "images"), tmp_path / "medium.img"
    with lab.serving("--media", there, "--boot-mode", "proxy"):
        assert lab.get("booting")["interfaces"] == []
        medium.rename(there)
        until(lambda: lab.get("booting")["interfaces"], 30)
        [own] = lab.get("booting")["interfaces"]
        assert (own["interface"], own["wanted"]) == (wire.wire, "proxy")
        until(lambda: lab.get("booting")["interfaces"][0]["mode"] != "silent", 30)
        there.rename(medium)
        until(lambda: not lab.get("booting")["interfaces"], 20)
        booting = lab.get("booting")
        assert not booting["deploy"]
        assert "medium Room 1" in booting["why"]

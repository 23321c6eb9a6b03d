"""``fleetcast doctor server`` over a real state directory, with nothing wrong and with faults in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge.net.identity import ServerIdentity
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.database.database import Database
from castserver.state.statelock import hold_state

from tests.block.hangingmount import hanging_mount
from tests.support.bootroom import make_tree
from tests.support.castlab import ENVIRONMENT
from tests.support.images import make_image, noise

pytestmark = pytest.mark.root
SECONDS = 200.0

Findings = dict[str, list[dict[str, Any]]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What a server leaves when it was ended."""
    made = tmp_path / "state"
    ServerIdentity.load_or_make(made)
    os.close(hold_state(made))
    Database.at(made / "server.sqlite", None, new=True).close()
    return made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "source.raw").write_bytes(noise(MIB, 3))
    for name in ("lab", "torn"):
        make_image(tmp_path / "images", name, tmp_path / "source.raw", (Extent(0, MIB),))
    return tmp_path / "images"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return make_tree(tmp_path / "tree")


def doctor(state: Path, images: Path, tree: Path, status: int = 0) -> Findings:
    """The findings by check. Its exit code must be ``status``."""
    where = ["--state", str(state), "--images", str(images), "--boot-tree", str(tree)]
    done = subprocess.run(
        [sys.executable, "-m", "castserver", "doctor", "server", "--json", *where],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=os.environ | ENVIRONMENT,
    )
    assert done.returncode == status, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["event"] == ("error" if status else "result")
    found: Findings = {}
    for line in lines:
        if line["event"] == "finding":
            found.setdefault(line["check"], []).append(line)
    return found


def problems(found: Findings) -> dict[str, str]:
    return {c: f["what"] for c, fs in found.items() for f in fs if f["level"] == "problem"}


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_a_server_without_faults_and_nothing_is_changed(state: Path, images: Path, tree: Path) -> None:
    before = seen(state)
    found = doctor(state, images, tree)
    assert problems(found) == {}
    assert "no server runs with it" in found["state"][0]["what"]
    assert "is sound" in found["database"][0]["what"]
    assert "2 images" in found["images"][0]["what"]
    assert seen(state) == before
    held = hold_state(state)
    try:
        assert "a server runs with it" in doctor(state, images, tree)["state"][0]["what"]
    finally:
        os.close(held)


def test_every_fault_is_found(state: Path, images: Path, tree: Path) -> None:
    (state / "server.key").chmod(0o644)
    database = state / "server.sqlite"
    content = bytearray(database.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    database.write_bytes(content)
    (state / "tls.crt").write_text("no certificate")
    (images / "torn.fcast/index").write_bytes(b"torn")
    (tree / "kernel").write_bytes(b"another kernel")
    found = problems(doctor(state, images, tree, ExitCode.NETWORK))
    assert set(found) == {"secrets", "database", "certificate", "images", "boot tree"}
    assert "server.key" in found["secrets"]
    assert "torn" in found["images"]
    assert "kernel" in found["boot tree"]


def test_a_database_that_is_away_and_a_folder_that_is_gone(
    state: Path, images: Path, tree: Path
) -> None:
    (state / "database").write_text("postgresql://fleetcast@127.0.0.1:1/fleetcast")
    gone = images.parent / "nowhere"
    found = problems(doctor(state, gone, tree, ExitCode.NETWORK))
    assert set(found) == {"database", "images"}
    assert "127.0.0.1:1" in found["database"]
    assert str(gone) in found["images"]


def test_a_folder_whose_mount_hangs_is_told_and_the_rest_is_looked_at(
    state: Path, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "nas").mkdir()
    with hanging_mount(tmp_path / "nas"):
        found = doctor(state, tmp_path / "nas", tree, ExitCode.NETWORK)
    assert set(problems(found)) == {"images"}
    assert "did not answer" in problems(found)["images"]
    assert "clock" in found

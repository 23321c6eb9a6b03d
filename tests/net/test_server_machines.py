"""Machines named before they came: real clients claim their entries; a cast goes to a group alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import run
from castcore.units import MIB

from tests.support.castlab import ENVIRONMENT, WIRE, CastLab, cast_lab
from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

SIZE = 16 * MIB
SECONDS = 120.0
URL = "https://10.9.0.1:8443"
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[CastLab]:
    """A switch, a server with the image "system", and three machines that are off."""
    raw = blank(tmp_path / "source.raw", SIZE)
    write_at(raw, 0, noise(4 * MIB, 1))
    write_at(raw, 9 * MIB, noise(3 * MIB, 2))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "system", raw, (Extent(0, 4 * MIB), Extent(9 * MIB, 3 * MIB)))
    with cast_lab("machines", 3) as made:
        where = ("--state", tmp_path / "state", "--images", tmp_path / "images")
        words = ("serve", "--json", "--interface", WIRE, *where)
        server = made.start("s", sys.executable, "-m", "castserver", *map(str, words))
        server.until(lambda e: e.get("event") == "serving", SECONDS)
        yield made


def command(lab: CastLab, folder: Path, *words: str | Path) -> Any:
    """The result of an operator's command at the server."""
    line = [sys.executable, "-m", "castserver", *map(str, words), "--json", "--server", URL]
    done = run.run(
        ["ip", "netns", "exec", lab.space("s"), *line, "--state", str(folder / "state")],
        timeout=SECONDS,
        extra_env=ENVIRONMENT,
    )
    return json.loads(done.decode().splitlines()[-1])


def mac_of(lab: CastLab, number: int) -> str:
    shown = subprocess.run(
        ["ip", "-n", lab.space(f"r{number}"), "-j", "link", "show", WIRE],
        capture_output=True,
        check=True,
        timeout=SECONDS,
    ).stdout
    return str(json.loads(shown)[0]["address"])


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_room_is_named_by_a_file_then_cast_to_as_a_group(lab: CastLab, tmp_path: Path) -> None:
    file = tmp_path / "rooms.csv"
    rows = [f"PC{n};{mac_of(lab, n)};教室{1 + n // 2};ssd" for n in range(3)]
    file.write_bytes("\r\n".join(["name;mac;groups;tags", *rows]).encode("cp932"))
    assert command(lab, tmp_path, "machines", "import", file, "--dry-run")["add"] == 3
    assert command(lab, tmp_path, "machines", "list")["machines"] == []
    command(lab, tmp_path, "machines", "import", file)
    ids = {m["name"]: m["client"] for m in command(lab, tmp_path, "machines", "list")["machines"]}
    assert sorted(ids) == ["PC0", "PC1", "PC2"]

    disks = [blank(tmp_path / f"disk-{n}.raw", SIZE) for n in range(3)]
    peers = [lab.start(f"r{n}", *CLIENT, "--target", str(disks[n])) for n in range(3)]
    end = time.monotonic() + SECONDS
    while (
        len(found := command(lab, tmp_path, "machines", "list", "--in-state", "ready")["machines"]) < 3
    ):
        assert time.monotonic() < end, "they did not all come"
    assert {m["name"]: m["client"] for m in found} == ids
    assert all(m["met"] and not m["doubt"] for m in found)

    command(lab, tmp_path, "machines", "rename", mac_of(lab, 1), "Left")
    words = ("--image", "system", "--group", "教室1", "--tag", "SSD", "--start-clients", "2")
    cast = command(lab, tmp_path, "casts", "create", *words)
    assert sorted(cast["targets"]) == sorted(ids[name] for name in ("PC0", "PC1"))
    results = [peer.result(SECONDS) for peer in peers[:2]]
    assert [result["state"] for result in results] == ["done", "done"]
    source = content(tmp_path / "source.raw")
    assert [content(disk) == source for disk in disks] == [True, True, False]
    assert content(disks[2]) == hashlib.sha256(bytes(SIZE)).hexdigest()

    rows_of = {m["label"]: m for m in command(lab, tmp_path, "machines", "deployed")["machines"]}
    for name in ("PC0", "Left"):
        proven = rows_of[name]["proven"]
        assert (proven["image"], proven["cast"], proven["root"]) == (
            "system",
            cast["cast"],
            cast["root"],
        )
    assert rows_of["PC2"]["proven"] is None
    history = command(lab, tmp_path, "machines", "history", "left")["history"]
    assert [(w["cast"], w["state"]) for w in history] == [(cast["cast"], "done")]

    again = tmp_path / "again.csv"
    command(lab, tmp_path, "machines", "export", "--output", again)
    plan = command(lab, tmp_path, "machines", "import", again)
    assert (plan["add"], plan["change"], plan["same"]) == (0, 0, 3)

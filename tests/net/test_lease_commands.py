"""``fleetcast leases`` against a running server that leases addresses to a real client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from castcore.edge import run
from castcore.errors import ExitCode

from tests.net.bootclients import OURS, PXE, udhcpc
from tests.net.hosts import Hosts, hosts
from tests.support.boottrees import tree
from tests.support.castlab import ENVIRONMENT, ROOT

pytestmark = pytest.mark.root

FIRST, KEPT = "192.0.2.128", "192.0.2.20"


@pytest.fixture
def net() -> Iterator[Hosts]:
    with hosts("leasecmd") as made:
        made.cable(("s", "wire0"), ("c", "wire0"))
        made.address("s", "wire0", f"{OURS}/24")
        yield made


@contextmanager
def server(net: Hosts, folder: Path) -> Iterator[None]:
    words: list[str | Path] = ["serve", "--json", "--interface", "wire0", "--state", folder / "state"]
    words += ["--images", folder / "images", "--boot-tree", folder / "tree", "--boot-mode", "dhcp"]
    command = net.command("s", sys.executable, "-m", "castserver", *words)
    with run.started(command, cwd=ROOT, extra_env=ENVIRONMENT) as process:
        assert process.stdout is not None
        told = (json.loads(line)["event"] for line in process.stdout)
        assert "serving" in told, "it ended before it served"
        yield


def leases(net: Hosts, folder: Path, *words: str) -> tuple[int, Any]:
    """The command's exit code and its result."""
    line: list[str | Path] = ["castserver", "leases", *words, "--json", "--state", folder / "state"]
    done = subprocess.run(
        net.command("s", sys.executable, "-m", *line),
        cwd=ROOT,
        env=run.environment(ENVIRONMENT),
        capture_output=True,
        timeout=60,
        check=False,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result.pop("event") in ("result", "error")
    return done.returncode, result


def test_the_operator_sees_leases_and_decides_on_them(net: Hosts, tmp_path: Path) -> None:
    for name in ("images", "tree"):
        (tmp_path / name).mkdir()
    tree(tmp_path / "tree")
    mac = net.mac("c", "wire0")
    with server(net, tmp_path):
        assert udhcpc(net, "c", tmp_path, ok=(1,)) == ""
        assert leases(net, tmp_path, "everyone") == (0, {"everyone": True})
        assert udhcpc(net, "c", tmp_path) == FIRST
        assert leases(net, tmp_path, "booting") == (0, {"everyone": False})
        status, shown = leases(net, tmp_path, "reserve", mac, KEPT)
        assert (status, shown) == (0, {"reservations": [{"mac": mac, "address": KEPT}]})
        for words in ((mac, OURS), (mac, "10.9.9.9"), ("52:54:00:00:00:99", KEPT), ("me", KEPT)):
            assert leases(net, tmp_path, "reserve", *words)[0] == ExitCode.REFUSED
    with server(net, tmp_path):
        listed = leases(net, tmp_path, "list")[1]
        found = [(x["address"], x["mac"], x["state"], x["interface"]) for x in listed["leases"]]
        assert (found, listed["everyone"]) == ([(FIRST, mac, "leased", "wire0")], False)
        assert leases(net, tmp_path, "reservations")[1]["reservations"][0]["address"] == KEPT
        assert udhcpc(net, "c", tmp_path, *PXE) == KEPT
        assert leases(net, tmp_path, "unreserve", mac) == (0, {"reservations": []})
        assert leases(net, tmp_path, "unreserve", mac)[0] == ExitCode.NOT_FOUND
        assert [x["address"] for x in leases(net, tmp_path, "list")[1]["leases"]] == [KEPT]

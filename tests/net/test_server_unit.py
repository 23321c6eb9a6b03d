"""The systemd unit: systemd understands all of it, and the server works with what it leaves it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from castcore.cast.values import ReceiveResult
from castserver.state.unitfile import CAPABILITIES

from tests.net.namespaces import Cable, inside
from tests.net.test_server_serve import (
    Client,
    blank,
    eventually,
    serve_line,
    serving,
    store,
    wire,
)
from tests.support.bootroom import make_tree
from tests.support.deploymedia import bare_medium

# Fixtures.
__all__ = ["store", "wire"]

pytestmark = pytest.mark.root
SECONDS = 200.0
KEPT = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in CAPABILITIES)
# What the unit says, as far as it can be said without systemd: its capabilities, no new privileges, and
# kernel settings that cannot be written (ip netns exec has given us mounts of our own).
_SETTINGS = (
    "mount --bind /proc/sys /proc/sys",
    "mount -o remount,ro,bind /proc/sys",
    "mount -o remount,ro,bind /sys",
    f'exec setpriv --bounding-set=-all,{KEPT} --inh-caps=-all --no-new-privs "$@"',
)
CONFINED = ("sh", "-ec", "; ".join(_SETTINGS), "confined")


def verified(folder: Path, text: str) -> str:
    """What systemd has to say against the unit ``text``."""
    file = folder / "fleetcast.service"
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) or said
    return said


def unit_of(*options: str, state: Path) -> str:
    line = [sys.executable, "-m", "castserver", "unit", "--json", "--", "--state", str(state), *options]
    done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=True)
    return str(json.loads(done.stdout.splitlines()[-1])["unit"])


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    odd = tmp_path / "50% of $HOME's images"
    for text in (
        unit_of("--images", "/srv/images", "--interface", "eth1", state=tmp_path / "state"),
        unit_of("--images", str(odd), "--media", str(odd / "m.img"), state=tmp_path / 'a "b"'),
    ):
        assert verified(tmp_path, text) == ""
    assert "KillMoode" in verified(tmp_path, text.replace("KillMode", "KillMoode"))


def test_the_server_works_with_the_capabilities_of_its_unit(
    wire: Cable, store: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    medium = tmp_path / "medium.img"
    bare_medium(medium)
    more = ("--boot-tree", str(make_tree(tree)), "--boot-mode", "proxy", "--media", str(medium))
    with serving(wire, store, tmp_path / "state", *more, under=CONFINED) as served:
        bounds = Path(f"/proc/{served.process.pid}/status").read_text()
        assert f"CapPrm:\t{sum(1 << number(name) for name in CAPABILITIES):016x}" in bounds
        (kept,) = served.said["pxe"]["interfaces"]
        assert kept["mode"] == "proxy"
        # The medium is in a loop device of its own, mounted.
        eventually(lambda: bool(served.command("media", "list")["state"] != "no medium"))
        cast = served.command("casts", "create", "--image", "lab", "--start-clients", "1")["cast"]
        client = Client(served, blank(tmp_path / "target.raw"))

        def story() -> ReceiveResult:
            client.register()
            assert client.order() == cast
            return client.take(cast)

        result = inside(wire.right, story, timeout=SECONDS)
        assert result.multicast >= 0.95 * client.target.stat().st_size, result
        assert client.target.read_bytes() == (tmp_path / "source.raw").read_bytes()


def test_who_has_a_port_is_named_from_within_the_unit_too(
    wire: Cable, store: Path, tmp_path: Path
) -> None:
    def hold() -> socket.socket:
        made = socket.create_server(("0.0.0.0", 8443))
        made.listen()
        return made

    with inside(wire.left, hold):
        done = subprocess.run(
            serve_line(wire, store, tmp_path / "state", under=CONFINED),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert f"(process {os.getpid()})" in done.stdout + done.stderr


def number(name: str) -> int:
    """A capability's (linux/capability.h)."""
    return {
        "CAP_DAC_OVERRIDE": 1,
        "CAP_NET_BIND_SERVICE": 10,
        "CAP_NET_ADMIN": 12,
        "CAP_NET_RAW": 13,
        "CAP_SYS_RAWIO": 17,
        "CAP_SYS_PTRACE": 19,
        "CAP_SYS_ADMIN": 21,
    }[name]

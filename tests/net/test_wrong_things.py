"""When something is wrong a person sees one `error:` line, one `next:` line, the documented code."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore import trust
from castcore.disk import Extent
from castcore.edge import run
from castcore.edge.image.store import MANIFEST_FILE
from castcore.errors import ExitCode
from castcore.image import pack_name
from castcore.units import MIB

from tests.net.namespaces import Cable, inside
from tests.support.images import blank, flip, make_image, noise
from tests.support.twomachines import start, two_machines

pytestmark = pytest.mark.root

SIZE = 16 * MIB
BAD_CHUNK = 9
SERVER = "10.9.7.1"
REASON = re.compile(r"pack-0000 is damaged at byte \d+: chunk 9 ")


@pytest.fixture
def wire() -> Iterator[Cable]:
    with two_machines("wrong", SERVER, "10.9.7.2") as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.raw"
    path.write_bytes(noise(SIZE, 7))
    return path


@pytest.fixture
def store(tmp_path: Path, source: Path) -> Path:
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "lab", source, (Extent(0, SIZE),))
    return tmp_path / "images"


@pytest.fixture
def damaged(store: Path) -> Path:
    """The store, its image with one byte of chunk 9 inverted."""
    flip(store / "lab.fcast" / pack_name(0), BAD_CHUNK * MIB + 100)
    return store


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A PXE tree that can be served, though not booted."""
    names = ("vmlinuz", "initrd.img", "shimx64.efi", "grubx64.efi", "undionly.kpxe")
    folder = tmp_path / "tree"
    folder.mkdir()
    files = {}
    for role, name in zip(("kernel", "initrd", "shim", "grub", "ipxe"), names, strict=True):
        (folder / name).write_bytes(b"boot")
        files[role] = {"name": name, "size": 4, "blake3": trust.digest(b"boot").hex()}
    (folder / "tree.json").write_text(json.dumps({"format": 1, "arch": "x86_64", "files": files}))
    return folder


def ended(process: subprocess.Popen[str], code: ExitCode) -> str:
    """The `error:` line of a process that must end with ``code``, and say no more than is needed."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, out + err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "  next"], err
    return err.splitlines()[0]


@contextmanager
def serving(wire: Cable, store: Path, state: Path) -> Iterator[list[object]]:
    """A server with a cast of lab that starts with its first client; yields how commands reach it."""
    words = ["--state", state, "--images", store, "--interface", wire.wire]
    server = start(wire.left, "castserver", "serve", *words, "--image", "lab", "--start-clients", "1")
    try:
        assert server.stdout is not None
        assert any(line.startswith("  cast ") for line in iter(server.stdout.readline, ""))
        yield ["--state", state, "--json"]
    finally:
        server.kill()
        server.communicate()


def unspoiled(target: Path, source: Path) -> bool:
    """Whether every chunk of ``target`` is the source's or was never written."""
    copy, whole = target.read_bytes(), source.read_bytes()
    parts = [(copy[at : at + MIB], whole[at : at + MIB]) for at in range(0, SIZE, MIB)]
    assert not any(parts[BAD_CHUNK][0]), "the damaged chunk was written"
    return all(got == right or not any(got) for got, right in parts)


def test_a_damaged_pack_ends_the_sending_and_the_receiving(
    wire: Cable, damaged: Path, source: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    words = ["--interface", wire.wire]
    send = start(wire.left, "castserver", "send", damaged / "lab.fcast", *words, "--clients", "1")
    take = start(wire.right, "castserver", "receive", target, *words, "--yes", "--trust-first")
    assert REASON.search(said := ended(take, ExitCode.NETWORK)), said
    assert REASON.search(said := ended(send, ExitCode.BAD_IMAGE)), said
    assert unspoiled(target, source)


def test_a_damaged_pack_fails_the_servers_cast_and_its_client(
    wire: Cable, damaged: Path, source: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    with serving(wire, damaged, tmp_path / "state") as reach:
        client = start(wire.right, "castclient", "run", "--target", target, "--interface", wire.wire)
        assert REASON.search(said := ended(client, ExitCode.NETWORK)), said
        line = [sys.executable, "-m", "castserver", "casts", "list", *map(str, reach)]
        told = run.run(["ip", "netns", "exec", wire.left, *line], timeout=30)
        (cast,) = json.loads(told.splitlines()[-1])["casts"]
    assert cast["state"] == "failed"
    assert REASON.search(cast["message"])
    assert [part["state"] for part in cast["parts"]] == ["failed"]
    assert unspoiled(target, source)


def test_a_sender_that_is_stopped_lets_nobody_wait(wire: Cable, store: Path, tmp_path: Path) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    send, take = _pair(wire, store, target)
    try:
        send.terminate()
        assert "the sender was stopped" in ended(take, ExitCode.NETWORK)
        send.communicate(timeout=30)
        assert send.returncode == ExitCode.INTERRUPTED
    finally:
        send.kill()


def test_a_sender_that_dies_is_waited_for_and_the_receiver_says_so(
    wire: Cable, store: Path, tmp_path: Path
) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    send, take = _pair(wire, store, target)
    try:
        send.kill()
        assert take.stderr is not None
        assert take.stderr.readline().startswith("warning: the sender is gone; waiting")
        assert take.poll() is None
        take.terminate()
        take.communicate(timeout=30)
        assert take.returncode == ExitCode.INTERRUPTED
    finally:
        take.kill()
        send.communicate()


def _pair(wire: Cable, store: Path, target: Path) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """A sender and a receiver in the middle of a cast of about ten seconds."""
    words = ["--interface", wire.wire]
    slowly = ["--clients", "1", "--rate", "1.5"]
    send = start(wire.left, "castserver", "send", store / "lab.fcast", *words, *slowly)
    take = start(wire.right, "castserver", "receive", target, *words, "--yes", "--trust-first")
    assert send.stdout is not None
    assert any("1 joined" in line for line in iter(send.stdout.readline, ""))
    time.sleep(1.5)
    return send, take


@pytest.mark.parametrize("command", ["pxe", "serve"])
def test_a_taken_port_67_is_named_with_its_holder(
    wire: Cable, store: Path, tree: Path, tmp_path: Path, command: str
) -> None:
    def hold() -> socket.socket:
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        holder.bind(("0.0.0.0", 67))
        return holder

    own = ["--state", tmp_path / "state", "--images", store] if command == "serve" else []
    with inside(wire.left, hold):
        # Beside another server the port is not taken: it is our own DHCP that needs it.
        words = ["--interface", wire.wire, "--boot-tree", tree, "--boot-mode", "dhcp", *own]
        said = ended(start(wire.left, "castserver", command, *words), ExitCode.PORT_TAKEN)
    assert "UDP port 67 is taken by " in said


def test_what_is_not_there_is_named(wire: Cable, store: Path, tree: Path, tmp_path: Path) -> None:
    nowhere, target = ["--interface", "nope7"], blank(tmp_path / "target.raw", SIZE)
    for module, words in (
        ("castserver", ["pxe", "--boot-tree", tree, *nowhere]),
        ("castclient", ["run", "--target", target, *nowhere]),
        ("castclient", ["run", "--target", tmp_path / "nope7", "--interface", wire.wire]),
        ("castserver", ["casts", "list", "--state", tmp_path / "nope7"]),
    ):
        assert "nope7" in ended(start(wire.left, module, *words), ExitCode.NOT_FOUND)


def test_a_mounted_target_is_left_alone_by_the_client(wire: Cable, store: Path, tmp_path: Path) -> None:
    raw, place = blank(tmp_path / "mounted.raw", SIZE + 8 * MIB), tmp_path / "place"
    run.run(["mkfs.ext4", "-q", "-F", str(raw)], timeout=30)
    place.mkdir()
    run.run(["mount", "-o", "loop", str(raw), str(place)], timeout=30)
    try:
        (place / "kept").write_text("kept")
        with serving(wire, store, tmp_path / "state"):
            client = start(wire.right, "castclient", "run", "--target", raw, "--interface", wire.wire)
            assert f"mounted at {place}" in ended(client, ExitCode.IN_USE)
        assert (place / "kept").read_text() == "kept"
    finally:
        run.run(["umount", str(place)], timeout=30)
    run.run(["e2fsck", "-fn", str(raw)], timeout=30)


def test_a_server_whose_disk_is_full_says_so(wire: Cable, store: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    run.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(full)], timeout=10)
    try:
        words = ["--state", full / "state", "--images", store, "--interface", wire.wire]
        assert "is full" in ended(start(wire.left, "castserver", "serve", *words), ExitCode.NO_SPACE)
        assert not list((full / "state").glob(".*.part"))
    finally:
        run.run(["umount", str(full)], timeout=10)
    assert (store / "lab.fcast" / MANIFEST_FILE).exists()

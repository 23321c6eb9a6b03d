"""`fleetcast send` and `fleetcast receive` in two namespaces: the whole way, and what goes wrong."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge.image.imagefile import Image
from castcore.units import MIB

from tests.net.namespaces import Cable, inside
from tests.support.basedimages import based_image
from tests.support.images import make_image, noise, write_at
from tests.support.twomachines import start, two_machines

pytestmark = pytest.mark.root

SIZE = 48 * MIB
USED = (Extent(0, 20 * MIB), Extent(30 * MIB, 18 * MIB))
SENDER = "10.8.0.1"
GO_ON = ["--yes", "--trust-first", "--json", "--verify"]


@pytest.fixture
def wire() -> Iterator[Cable]:
    with two_machines("cmd", SENDER, "10.8.0.2") as made:
        yield made


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "source.raw"
    path.write_bytes(noise(SIZE, 7))
    return path


@pytest.fixture
def image(tmp_path: Path, raw: Path) -> Path:
    return make_image(tmp_path, "sample", raw, USED)


def fleetcast(space: str, *arguments: str) -> subprocess.Popen[str]:
    return start(space, "castserver", *arguments)


def ended(process: subprocess.Popen[str], code: int = 0) -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, out + err
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("protection", [(), ("--mac", "--encrypt")])
def test_an_image_goes_from_one_machine_to_another(
    wire: Cable, image: Path, raw: Path, tmp_path: Path, protection: tuple[str, ...]
) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE + MIB))
    wanted = ["--interface", wire.wire, "--clients", "1", "--json", *protection]
    send = fleetcast(wire.left, "send", str(image), *wanted)
    take = fleetcast(wire.right, "receive", str(target), "--interface", wire.wire, *GO_ON)
    result = ended(take)[-1]
    sent = ended(send)[-1]
    with Image.open(image) as opened:
        root = opened.manifest.index_digest.hex()
        stored = sum(n + (16 if n and protection else 0) for n in opened.stored_lengths())
    assert sent["mac"] is sent["encrypt"] is bool(protection)
    assert result["root"] == sent["root"] == root
    assert result["multicast"] + result["unicast"] == stored
    assert result["verified"]
    assert [c["done"] for c in sent["clients"]] == [True]
    source, copy = raw.read_bytes(), target.read_bytes()
    for extent in USED:
        assert copy[extent.start : extent.end] == source[extent.start : extent.end]
    assert not any(copy[20 * MIB : 30 * MIB]), "a hole was written"


def test_a_disk_that_holds_most_of_the_image_receives_the_rest(
    wire: Cable, image: Path, raw: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target.raw"
    content = bytearray(raw.read_bytes())
    for offset in (5 * MIB + 17, 40 * MIB):
        content[offset] ^= 1
    target.write_bytes(content)
    send = fleetcast(wire.left, "send", str(image), "--interface", wire.wire, "--clients", "1", "--json")
    words = ["--interface", wire.wire, "--resume", *GO_ON]
    result = ended(fleetcast(wire.right, "receive", str(target), *words))[-1]
    sent = ended(send)[-1]
    with Image.open(image) as opened:
        lengths = opened.stored_lengths()
    # The first chunk always travels: a disk has no partition table until all is there.
    wanted = lengths[0] + lengths[5] + lengths[30]
    assert result["verified"]
    assert result["multicast"] + result["unicast"] == wanted
    assert result["kept"] == sum(lengths) - wanted
    assert sent["sent"] <= 1.1 * wanted
    copy = target.read_bytes()
    for extent in USED:
        assert copy[extent.start : extent.end] == raw.read_bytes()[extent.start : extent.end]


def test_an_image_that_borrows_goes_like_any_other(
    wire: Cable, image: Path, raw: Path, tmp_path: Path
) -> None:
    write_at(raw, 31 * MIB, noise(MIB, 8))
    based = based_image(tmp_path, "based", raw, ["sample"], in_use=USED)
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE))
    send = fleetcast(wire.left, "send", str(based), "--interface", wire.wire, "--clients", "1", "--json")
    take = fleetcast(wire.right, "receive", str(target), "--interface", wire.wire, *GO_ON)
    result = ended(take)[-1]
    sent = ended(send)[-1]
    with Image.open(based) as opened:
        assert opened.manifest.stored == MIB
        assert result["root"] == sent["root"] == opened.manifest.index_digest.hex()
        assert result["multicast"] + result["unicast"] == sum(opened.stored_lengths())
    assert result["verified"]
    source, copy = raw.read_bytes(), target.read_bytes()
    for extent in USED:
        assert copy[extent.start : extent.end] == source[extent.start : extent.end]


def test_another_key_is_not_trusted_and_nothing_is_written(
    wire: Cable, image: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE))
    send = fleetcast(wire.left, "send", str(image), "--interface", wire.wire, "--clients", "1", "--json")
    try:
        assert send.stdout is not None
        url = json.loads(send.stdout.readline())["url"]
        wrong = ["--server", url, "--key", "11" * 32, "--yes", "--json"]
        ended(fleetcast(wire.right, "receive", str(target), "--interface", wire.wire, *wrong), 13)
        assert not any(target.read_bytes())
    finally:
        send.kill()
        send.communicate()


def test_a_small_target_is_refused_before_joining(wire: Cable, image: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.raw"
    target.write_bytes(bytes(SIZE // 2))
    send = fleetcast(wire.left, "send", str(image), "--interface", wire.wire, "--clients", "1", "--json")
    try:
        ended(fleetcast(wire.right, "receive", str(target), "--interface", wire.wire, *GO_ON), 5)
        assert not any(target.read_bytes())
    finally:
        send.kill()
        send.communicate()


def test_no_such_interface_and_no_sender(wire: Cable, image: Path, tmp_path: Path) -> None:
    words = ["--interface", "nope7", "--json"]
    ended(fleetcast(wire.left, "send", str(image), *words, "--clients", "1"), 3)
    ended(fleetcast(wire.left, "receive", str(tmp_path / "x"), *words), 3)
    alone = ["--interface", wire.wire, "--wait", "1", *GO_ON]
    ended(fleetcast(wire.right, "receive", str(tmp_path / "x"), *alone), 3)


def test_a_taken_feedback_port_is_named(wire: Cable, image: Path) -> None:
    def hold() -> socket.socket:
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        holder.bind((SENDER, 7101))
        return holder

    with inside(wire.left, hold):
        words = ["--interface", wire.wire, "--clients", "1", "--json", "--port", "7100"]
        events = ended(fleetcast(wire.left, "send", str(image), *words), 10)
    assert "7101" in events[-1]["error"]


def test_send_needs_to_know_when_to_begin(wire: Cable, image: Path) -> None:
    ended(fleetcast(wire.left, "send", str(image), "--interface", wire.wire, "--json"), 12)

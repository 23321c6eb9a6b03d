"""Casts over IPv6, with jumbo frames where they pass and where they do not, and over two interfaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import run
from castcore.edge.image.imagefile import Image
from castcore.edge.net.interface import find_interface
from castcore.units import MIB

from tests.net.namespaces import carries, inside, ip
from tests.support.castlab import ENVIRONMENT, ROOT, cast_lab
from tests.support.castpeer import SeededSource
from tests.support.images import make_image, noise

pytestmark = pytest.mark.root

CHUNKS = 40
BYTES = sum(SeededSource(CHUNKS).stored_lengths())
SECONDS = 90
COUNT = ["--chunks", str(CHUNKS)]
SIZE = 32 * MIB


def test_data_and_feedback_go_over_ipv6() -> None:
    with cast_lab("six", 2) as lab:
        lab.with_ipv6()
        lab.lose_ipv6(0, 10)
        sender = lab.sender(*COUNT, "--clients", "2", "--group", "ff15::fc:1:1")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        results = [r.result(SECONDS) for r in [lab.receiver(i, *COUNT) for i in range(2)]]
        status = sender.result(SECONDS)
    for result in results:
        assert result["complete"]
        assert result["multicast"] == BYTES
    assert results[0]["repaired"] > 0, "nothing was lost: it did not go by IPv6"
    assert status["gso"]
    assert all(client["done"] for client in status["clients"])


def test_jumbo_frames_go_to_those_whose_switch_carries_them() -> None:
    """The third one's cable is an ordinary one: it is served by unicast, and holds nobody up."""
    with cast_lab("jumbo", 3) as lab:
        lab.with_jumbo("r2")
        lab.lose(0, 10)
        sender = lab.sender(*COUNT, "--clients", "3", "--jumbo", "--serve-after", "60")
        sender.until(lambda e: e["event"] == "ready", SECONDS)
        receivers = [lab.receiver(i, *COUNT) for i in range(3)]
        results = [r.result(SECONDS) for r in receivers]
        sender.kill()
    assert all(r["complete"] for r in results)
    assert [r["multicast"] for r in results] == [BYTES, BYTES, 0]
    assert results[0]["repaired"] > 0
    assert results[2]["unicast"] == BYTES
    assert any("MTU" in detail for detail in results[2]["details"])


def test_a_jumbo_cast_needs_a_jumbo_interface() -> None:
    with cast_lab("small", 0) as lab:
        sender = lab.sender(*COUNT, "--jumbo")
        assert sender.process.wait(SECONDS) != 0
        assert sender.reader is not None
        sender.reader.join(5)
        assert any("MTU of 1500" in line for line in sender.other)


# -- two interfaces, each with a receiver of its own behind it

Spaces = tuple[str, str, str]


@pytest.fixture
def spaces() -> Iterator[Spaces]:
    """A sender with the interfaces nic0 and nic1, and behind each a receiver with its wire0."""
    names = [f"fct-legs-{os.getpid()}-{n}" for n in ("s", "r0", "r1")]
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(_forget, name)
            ip("-n", name, "link", "set", "lo", "up")
        for leg in (0, 1):
            there = names[1 + leg]
            peer = ["peer", "name", "wire0", "netns", there]
            ip("-n", names[0], "link", "add", f"nic{leg}", "type", "veth", *peer)
            _address(names[0], f"nic{leg}", f"10.6.{leg}.1")
            _address(there, "wire0", f"10.6.{leg}.2")
            carries(there, "wire0")
        yield names[0], names[1], names[2]


def _address(space: str, device: str, address: str) -> None:
    ip("-n", space, "addr", "add", f"{address}/24", "brd", "+", "dev", device)
    ip("-n", space, "link", "set", device, "up")


def _forget(space: str) -> None:
    with suppress(run.ProgramFailed):
        ip("netns", "delete", space)


def _fleetcast(space: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = ["ip", "netns", "exec", space, sys.executable, "-m", "castserver", *arguments]
    env = os.environ | ENVIRONMENT
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _ended(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, (out + err).decode()
    last: dict[str, Any] = json.loads(out.splitlines()[-1])
    return last


def _sent_bytes(space: str, device: str) -> int:
    path = f"/sys/class/net/{device}/statistics/tx_bytes"
    return int(run.run(["ip", "netns", "exec", space, "cat", path], timeout=10))


def test_each_interface_carries_what_its_own_clients_need(spaces: Spaces, tmp_path: Path) -> None:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 7))
    image = make_image(tmp_path, "sample", raw, (Extent(0, SIZE),))
    with Image.open(image) as opened:
        stored = sum(opened.stored_lengths())
    both = ["--interface", "nic0", "--interface", "nic1"]
    send = _fleetcast(spaces[0], "send", str(image), *both, "--clients", "2", "--rate", "40", "--json")
    takes = []
    for leg in (0, 1):
        target = tmp_path / f"target{leg}.raw"
        target.write_bytes(bytes(SIZE))
        words = ["--interface", "wire0", "--yes", "--trust-first", "--json", "--verify"]
        takes.append(_fleetcast(spaces[1 + leg], "receive", str(target), *words))
    for take in takes:
        assert _ended(take)["multicast"] == stored
    sent = _ended(send)
    assert [client["done"] for client in sent["clients"]] == [True, True]
    for leg in (0, 1):
        assert (tmp_path / f"target{leg}.raw").read_bytes() == raw.read_bytes()
        assert stored <= _sent_bytes(spaces[0], f"nic{leg}") <= 1.3 * stored, "not once over each"


def test_a_leg_that_nobody_joined_carries_nothing(spaces: Spaces, tmp_path: Path) -> None:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 7))
    image = make_image(tmp_path, "sample", raw, (Extent(0, SIZE),))
    both = ["--interface", "nic0", "--interface", "nic1"]
    send = _fleetcast(spaces[0], "send", str(image), *both, "--clients", "1", "--json")
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE))
    words = ["--interface", "wire0", "--yes", "--trust-first", "--json"]
    assert _ended(_fleetcast(spaces[2], "receive", str(target), *words))["unicast"] == 0
    _ended(send)
    assert _sent_bytes(spaces[0], "nic0") < MIB


def test_interfaces_of_a_namespace_are_found_by_either_address(spaces: Spaces) -> None:
    ip("-n", spaces[0], "addr", "add", "fd06::1/64", "dev", "nic1", "nodad")

    def find() -> list[tuple[str, str, int]]:
        wanted = ("nic0", "10.6.1.1", "FD06:0::1", "nic1")
        return [(i.name, i.address, i.mtu) for i in map(find_interface, wanted)]

    assert inside(spaces[0], find) == [
        ("nic0", "10.6.0.1", 1500),
        ("nic1", "10.6.1.1", 1500),
        ("nic1", "fd06::1", 1500),
        ("nic1", "10.6.1.1", 1500),
    ]


def test_a_network_without_ipv4(spaces: Spaces, tmp_path: Path) -> None:
    for space, device, last in ((spaces[0], "nic0", 1), (spaces[1], "wire0", 2)):
        ip("-n", space, "addr", "flush", "dev", device)
        ip("-n", space, "addr", "add", f"fd06::{last}/64", "dev", device, "nodad")
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 7))
    image = make_image(tmp_path, "sample", raw, (Extent(0, SIZE),))
    send = _fleetcast(spaces[0], "send", str(image), "--interface", "nic0", "--clients", "1", "--json")
    casting = _casting(send)
    assert casting["url"].startswith("https://[fd06::1]:")
    take = _receive(spaces[1], tmp_path / "target.raw", casting)
    assert _ended(take)["unicast"] == 0
    _ended(send)
    assert (tmp_path / "target.raw").read_bytes() == raw.read_bytes()


def test_casts_at_once_stay_apart(spaces: Spaces, tmp_path: Path) -> None:
    """Two senders on one interface: ports and groups of their own, each client gets its own image."""
    sends, takes = [], []
    for number in (0, 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        raw = folder / "source.raw"
        raw.write_bytes(noise(SIZE, 7 + number))
        image = make_image(folder, "sample", raw, (Extent(0, SIZE),))
        words = ["--interface", "nic0", "--clients", "1", "--rate", "30", "--json"]
        sends.append(_fleetcast(spaces[0], "send", str(image), *words))
        takes.append(_receive(spaces[1], folder / "target.raw", _casting(sends[-1])))
    for number in (0, 1):
        assert _ended(takes[number])["unicast"] == 0
        _ended(sends[number])
        folder = tmp_path / str(number)
        assert (folder / "target.raw").read_bytes() == (folder / "source.raw").read_bytes()


def _casting(send: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert send.stdout is not None
    event: dict[str, Any] = json.loads(send.stdout.readline())
    assert event["event"] == "casting"
    return event


def _receive(space: str, target: Path, casting: dict[str, Any]) -> subprocess.Popen[bytes]:
    target.write_bytes(bytes(SIZE))
    words = ["--interface", "wire0", "--server", casting["url"], "--key", casting["key"]]
    return _fleetcast(space, "receive", str(target), *words, "--yes", "--json")

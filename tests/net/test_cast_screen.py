"""`fleetcast send` at a terminal and for a program: Enter, the live table, the events."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.units import MIB

from tests.net.namespaces import Cable
from tests.support.images import make_image, noise
from tests.support.twomachines import ROOT, start, two_machines

pytestmark = pytest.mark.root

SIZE = 24 * MIB
SECONDS = 60.0
GO_ON = ("--yes", "--trust-first", "--json")


@pytest.fixture
def wire() -> Iterator[Cable]:
    with two_machines("scr", "10.8.1.1", "10.8.1.2") as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 9))
    return make_image(tmp_path, "sample", raw, (Extent(0, SIZE),))


class Terminal:
    """A program at a terminal of 100 columns; ``text`` is all that it has written there."""

    def __init__(self, space: str, *arguments: str) -> None:
        ours, its = pty.openpty()
        self._fd, self.text = ours, ""
        command = ["ip", "netns", "exec", space, sys.executable, "-m", "castserver", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its)
        os.close(its)

    def until(self, words: str) -> None:
        """Wait until it has written this."""
        end = time.monotonic() + SECONDS
        while words not in self.text:
            assert time.monotonic() < end, self.text
            assert self._read() or words in self.text, self.text

    def press_enter(self) -> None:
        os.write(self._fd, b"\n")

    def ended(self) -> int:
        while self._read():
            pass
        os.close(self._fd)
        return self.process.wait(SECONDS)

    def _read(self) -> bool:
        # At its end a terminal answers with an error.
        with suppress(OSError):
            got = os.read(self._fd, 65536)
            self.text += got.decode()
            return bool(got)
        return False


def test_enter_begins_and_a_table_shows_who_gets_what(wire: Cable, image: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE))
    send = Terminal(wire.left, "send", str(image), "--interface", wire.wire, "--rate", "20")
    send.until("Press Enter to begin.")
    take = start(wire.right, "castserver", "receive", str(target), "--interface", wire.wire, *GO_ON)
    send.until("1 joined")
    send.until("CLIENT")
    send.press_enter()
    out, err = take.communicate(timeout=SECONDS)
    assert take.returncode == 0, out + err
    assert send.ended() == 0, send.text
    for words in ("NET LOSS", "MB/s", "0 of 1 done", "1 of 1 complete"):
        assert words in send.text
    assert target.read_bytes()[:SIZE] == (tmp_path / "source.raw").read_bytes()


def test_events_tell_every_client(wire: Cable, image: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.raw"
    target.write_bytes(bytes(SIZE))
    words = ("--interface", wire.wire, "--min-clients", "1", "--rate", "8", "--json")
    send = start(wire.left, "castserver", "send", str(image), *words)
    take = start(wire.right, "castserver", "receive", str(target), "--interface", wire.wire, *GO_ON)
    out, err = send.communicate(timeout=SECONDS)
    assert send.returncode == 0, out + err
    assert take.wait(SECONDS) == 0
    take.communicate()
    events = [json.loads(line) for line in out.splitlines()]
    running = [e for e in events if e["event"] == "status" and e["state"] == "pass" and e["clients"]]
    assert running, events
    for event in running:
        (client,) = event["clients"]
        assert {"class", "rate", "have", "eta", "net_loss", "host_loss", "shed_blocks"} <= set(client)
        assert event["stored"] >= SIZE
    assert any(e["clients"][0]["rate"] > 2e6 for e in running)
    (last,) = [e for e in events if e["event"] == "status"][-1]["clients"]
    assert (last["class"], last["have"], last["eta"], last["done"]) == ("done", 1.0, 0.0, True)

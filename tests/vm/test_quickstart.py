"""Quickstart, word by word: an empty machine becomes a server, and two PCs boot what the master is.

Every block of commands in docs/quickstart.md is typed as it stands, in an empty Debian root; what the
page asks of hands (switching PCs on) is done to virtual ones.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from castcore.edge import run

from tests.support.doccommands import ROOT, shell_blocks
from tests.vm import network
from tests.vm.bareroot import BareRoot, bare_root
from tests.vm.demo import BUILD, say
from tests.vm.firmware import Firmware
from tests.vm.lab import kernel_of
from tests.vm.machine import PC, Running, accelerator, blank_disk, powered
from tests.vm.sample import Sample, sample
from tests.vm.sampleroot import BOOTED

pytestmark = [pytest.mark.vm, pytest.mark.root, pytest.mark.full]
PAGE = ROOT / "docs/quickstart.md"
TARGET = "/opt/fleetcast"
SHOWN = 600.0
MASTER = PC("master", 1, Firmware.BIOS)
ROOM = (PC("room1", 2, Firmware.UEFI_SECURE), PC("room2", 3, Firmware.BIOS))


class Newcomer:
    """Who follows the page: an empty machine, its network, and hands to switch PCs on."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.server: BareRoot = stack.enter_context(bare_root(folder / "root"))
        self.network = stack.enter_context(network.built())
        self.inside = network.inside(self.network.server)
        for change in (("down",), ("name", "eth1"), ("up",)):
            run.run([*self.inside, "ip", "link", "set", _interface(change), *change], timeout=20)
        self.log = folder / "serve.log"

    def switch_on(self, pc: PC, disk: Path) -> Running:
        """Power ``pc`` on; it is off when the test has ended."""
        port, enter = self.network.add_port(pc.name), network.inside(self.network.lan)
        accel = accelerator(kernel_of(self.server.root / "srv/fleetcast/pxe"))
        return self._stack.enter_context(
            powered(pc, self.folder, disk, tap=port, inside=enter, accel=accel)
        )

    def serve(self, block: str) -> None:
        """Type ``block`` in the first terminal, and wait until the server says where its console is."""
        process = self._stack.enter_context(self.server.typed(block, self.log, self.inside))
        self.await_(lambda: "https://192.168.77.2:8443" in self.said(), "the server's first words")
        assert process.poll() is None, self.said()

    def said(self) -> str:
        """Everything that the server said in its terminal."""
        return self.log.read_text(errors="replace")

    def type(self, block: str) -> str:
        """Type ``block`` in the second terminal; what it says."""
        say(f"  $ {block.strip()}")
        return self.server.type(block, self.inside)

    def await_(self, until: Callable[[], object], what: str) -> None:
        """Look once a second until ``until``, at most :data:`SHOWN` seconds."""
        end = time.monotonic() + SHOWN
        while not until():
            assert time.monotonic() < end, f"not seen: {what}\n{self.said()}"
            time.sleep(1)


def _interface(change: tuple[str, ...]) -> str:
    return "eth1" if change == ("up",) else network.SERVER_INTERFACE


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    """An empty machine and a network, in build/test-quickstart."""
    folder = BUILD / "test-quickstart"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    network.remove_stale(say)
    with ExitStack() as stack:
        yield Newcomer(folder, stack)


def test_the_page_leads_from_an_empty_machine_to_pcs_that_boot_the_masters_system(
    newcomer: Newcomer,
) -> None:
    blocks = iter(shell_blocks(PAGE))
    system = sample(BUILD / "cache", say)
    newcomer.server.put(ROOT, TARGET)
    for _ in ("install", "make what the PCs will boot"):
        say(newcomer.server.type(block := next(blocks))[-500:] + block)
    newcomer.serve(next(blocks))
    assert re.search(r"log in as +admin, password \S{8,}", newcomer.said())

    master = newcomer.switch_on(MASTER, _disk_of(newcomer, system))
    listing = next(blocks)
    newcomer.await_(lambda: "ready" in newcomer.type(listing), "the master in the list")
    stored = newcomer.type(next(blocks))
    assert f"office-{MASTER.mac.replace(':', '')}-{MASTER.uuid.replace('-', '')}" in stored
    newcomer.type(next(blocks))
    assert master.wait_off(SHOWN)

    newcomer.type(next(blocks))
    room = [
        newcomer.switch_on(pc, blank_disk(newcomer.folder / f"{pc.name}.disk", pc.disk_size))
        for pc in ROOM
    ]
    ended = newcomer.type(next(blocks))
    assert ended.count("done") >= len(ROOM), ended
    for pc in room:
        newcomer.await_(partial(pc.serial.search, BOOTED), f"{pc.pc.name} boots the master's system")
        booted = pc.serial.search(BOOTED)
        assert booted is not None
        assert (booted["host"], booted["root"]) == (system.host, system.root_uuid)
    assert next(blocks, None) is None, "a block of the page that nobody typed"


def _disk_of(newcomer: Newcomer, system: Sample) -> Path:
    disk = newcomer.folder / "master.disk"
    run.run(["cp", "--sparse=always", str(system.disk), str(disk)], timeout=120)
    return disk

"""The end of orders to boot an image once: used, refused, taken back; and of what killed adds left."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest
from castcore.boot import BootDecision, BootEvent, BootStage
from castserver.database.tables import BootOnceRow
from castserver.netboot import bootonce
from castserver.netboot.bootimages import BootImages
from castserver.services.machinefiles import MachineFiles

from tests.support.bootasking import request
from tests.support.bootorders import FLOPPY, STRANGER, boot, files, lab, order, told
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

__all__ = ["files", "lab", "told"]  # fixtures


def used(lab: ServerLab) -> list[str]:
    lab.restart()
    return [row.image for row in lab.database.all(BootOnceRow)]


def test_what_was_used_is_forgotten_once_the_machine_comes_to_our_client(lab: ServerLab) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    for machine in (client, other):
        order(lab, "tool.img", machine.id)
        found = lab.once.newest(*boot(machine))
        assert found is not None
        lab.once.use(found.id)
    assert used(lab) == ["tool.img", "tool.img"]
    FakeClient(lab, 1).register()
    assert used(lab) == ["tool.img"]
    assert lab.once.newest(*boot(client)) is None
    lab.http.post("/api/v1/boot-images/tool.img/delete", headers=OPERATOR)
    assert used(lab) == []


def test_what_was_used_long_ago_is_forgotten(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    for machine in (client, other):
        order(lab, "tool.img", machine.id)
    found = lab.once.newest(*boot(client))
    assert found is not None
    lab.once.use(found.id)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + bootonce.USED_SECONDS + 2)
    lab.restart()
    assert lab.once.newest(*boot(client)) is None
    assert lab.once.decide(*boot(other)) is BootDecision.IMAGE, "one that waits does so"


def test_an_order_taken_back_leaves_nothing_in_the_database(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "tool.img", client.id)
    lab.once.cancel(lab.clients.get(client.id))
    assert used(lab) == []


@pytest.mark.parametrize(
    ("architecture", "vendor", "dropped"),
    [(7, "PXEClient:Arch", True), (16, "HTTPClient:Arch", True), (0, "PXEClient:Arch", False)],
)
def test_a_floppy_is_refused_when_uefi_firmware_asks_though_it_never_comes_to_http(
    lab: ServerLab,
    files: MachineFiles,
    told: list[BootEvent],
    architecture: int,
    vendor: str,
    dropped: bool,
) -> None:
    order(lab, "dos.img", STRANGER)
    files.meet(request(architecture, vendor, mac=STRANGER))
    assert [(e.mac, e.stage) for e in told] == [(STRANGER, BootStage.REFUSED)] * dropped
    left = BootDecision.CLIENT if dropped else BootDecision.IMAGE
    assert lab.once.decide(STRANGER, "") is left
    order(lab, "tool.img", STRANGER)
    files.meet(request(architecture, vendor, mac=STRANGER))
    assert lab.once.decide(STRANGER, "") is BootDecision.IMAGE


def test_what_a_killed_add_left_is_swept_and_one_that_runs_is_left_alone(tmp_path: Path) -> None:
    store, source = BootImages(tmp_path / "boot-images"), tmp_path / "dos.img"
    store.sweep()
    source.write_bytes(FLOPPY)
    store.directory.mkdir()
    left, running = (store.directory / f".{name}.img.partial-1" for name in ("left", "running"))
    left.write_bytes(b"half")
    with running.open("xb") as copy:
        fcntl.flock(copy, fcntl.LOCK_EX)
        store.add(source, "dos.img")
        names = sorted(p.name for p in store.directory.iterdir())
        assert names == [running.name, "dos.img"]
    store.sweep()
    assert [p.name for p in store.directory.iterdir()] == ["dos.img"]

"""Boot images: what is one, how it is kept, and which machine boots it, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from castcore.boot import (
    BootDecision,
    BootEvent,
    BootStage,
    ImageForm,
    bootnames,
)
from castcore.boot.bootimage import HEAD_BYTES, form_of
from castcore.errors import BadImage, InUse, NotFound, Refused
from castserver.netboot.bootimages import BootImages
from castserver.netboot.bootonce import USED_SECONDS
from castserver.services.machinefiles import MachineFiles

from tests.support.bootorders import (
    DISK,
    FLOPPY,
    STRANGER,
    boot,
    files,
    iso,
    lab,
    order,
    told,
)
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

__all__ = ["files", "lab", "told"]  # fixtures


def ask(files: MachineFiles, client: FakeClient, file: str) -> bytes | None:
    mac, uuid = boot(client)
    found = files.find(f"boot/machine/{mac}/{uuid}/{file}")
    return None if found is None else found.open().read()


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (FLOPPY, ImageForm.FLOPPY),
        (DISK, ImageForm.DISK),
        (iso(), ImageForm.ISO),
        (bytes(510) + b"\x55\xaa" + iso()[512:], ImageForm.ISO),
    ],
)
def test_what_an_image_is(data: bytes, form: ImageForm) -> None:
    assert form_of("x", data[:HEAD_BYTES], len(data)) is form


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no boot image"),
        (b"\x1f\x8b" + bytes(1000), "no boot image"),
        (bytes(1440 * 1024), "no boot image"),
        (iso()[: 17 * 2048], "El Torito"),
        (iso()[: 17 * 2048] + bytes(2048), "El Torito"),
    ],
)
def test_what_nothing_boots_from_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        form_of("x", data[:HEAD_BYTES], len(data))


def test_an_image_is_taken_in_whole_or_not_at_all(tmp_path: Path) -> None:
    store, source = BootImages(tmp_path / "state/boot-images"), tmp_path / "dos.img"
    assert store.list() == ()
    source.write_bytes(FLOPPY)
    assert store.add(source, "dos.img").form is ImageForm.FLOPPY
    assert store.path("dos.img").read_bytes() == FLOPPY
    with pytest.raises(InUse, match="already"):
        store.add(source, "dos.img")
    source.write_bytes(b"text")
    with pytest.raises(BadImage):
        store.add(source, "other.img")
    for bad in ("../x", "", ".x", "a/b", "x" * 101):
        with pytest.raises(Refused):
            store.add(store.path("dos.img"), bad)
        with pytest.raises(NotFound):
            store.get(bad)
    assert [p.name for p in store.directory.iterdir()] == ["dos.img"]
    store.delete("dos.img")
    with pytest.raises(NotFound):
        store.delete("dos.img")
    with pytest.raises(NotFound):
        store.add(tmp_path / "none", "none")
    with pytest.raises(BadImage, match="no file"):
        store.add(tmp_path, "folder")


def test_a_file_that_is_no_image_is_listed_with_its_problem(lab: ServerLab) -> None:
    (lab.boot_images / "notes.txt").write_text("hello")
    (lab.boot_images / ".dos.img.partial-1").write_text("")
    listed = lab.http.get("/api/v1/boot-images", headers=OPERATOR).json()
    assert [(i["image"], i["form"]) for i in listed] == [
        ("dos.img", "floppy"),
        ("live.iso", "iso"),
        ("notes.txt", None),
        ("tool.img", "disk"),
    ]
    assert "no boot image" in listed[2]["problem"]


def test_a_machine_boots_an_image_once_and_then_what_it_had(lab: ServerLab, files: MachineFiles) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    lab.clients.set_boots(lab.clients.get(client.id), BootDecision.LOCAL)
    assert order(lab, "tool.img", client.id) == 200
    assert lab.once.decide(*boot(client)) is BootDecision.IMAGE
    assert lab.once.decide(*boot(other)) is BootDecision.CLIENT
    seen = lab.http.get(f"/api/v1/clients/{client.id}", headers=OPERATOR).json()
    assert (seen["boots"], seen["boot_image"]) == ("local", "tool.img")

    script = ask(files, client, "pcbios.ipxe") or b""
    assert b"sanboot" in script
    # Neither the script nor a fetch that broke off uses the order up.
    assert lab.once.decide(*boot(client)) is BootDecision.IMAGE
    name = script.split(b"http://10.0.0.1:8080/")[1].split()[0].decode()
    image = files.find(name)
    assert image is not None
    assert image.open().read() == DISK
    assert lab.once.decide(*boot(client)) is BootDecision.IMAGE
    assert image.sent is not None
    image.sent()
    assert lab.once.decide(*boot(client)) is BootDecision.LOCAL
    assert b"exit 1" in (ask(files, client, "pcbios.ipxe") or b"")
    assert b"sanboot" not in (ask(files, client, "pcbios.ipxe") or b"")

    # It runs from it still: it is there to be read, over a restart too, and not told each time.
    lab.restart()
    again = MachineFiles(files.client, lab.once, lab.once, files.on_event).find(name)
    assert again is not None
    assert again.quiet
    assert again.open().read() == DISK
    assert lab.once.decide(*boot(client)) is BootDecision.LOCAL


def test_an_order_that_waits_outlives_a_restart(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "live.iso", client.id)
    lab.restart()
    assert lab.once.decide(*boot(client)) is BootDecision.IMAGE
    lab.once.cancel(lab.clients.get(client.id))
    lab.restart()
    assert lab.once.decide(*boot(client)) is BootDecision.CLIENT


def test_a_new_order_leaves_what_the_machine_runs_from_alone(
    lab: ServerLab, files: MachineFiles
) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "live.iso", client.id)
    first = lab.once.newest(*boot(client))
    assert first is not None
    lab.once.use(first.id)
    order(lab, "tool.img", client.id)
    running = files.find(bootnames.once_name(first.id, "live.iso"))
    assert running is not None
    assert running.open().read() == iso()
    assert ask(files, client, "image") == DISK


def test_what_a_machine_runs_from_stays_for_its_time_however_long_it_was_ordered(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, now = FakeClient(lab, 1).register(), 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    order(lab, "live.iso", client.id)
    found = lab.once.newest(*boot(client))
    assert found is not None
    now += USED_SECONDS
    lab.once.use(found.id)
    now += USED_SECONDS
    lab.restart()
    assert lab.once.find(found.id) is not None
    now += 1
    lab.restart()
    assert lab.once.find(found.id) is None


def test_a_machine_never_met_is_ordered_by_its_mac(lab: ServerLab, files: MachineFiles) -> None:
    assert order(lab, "dos.img", STRANGER.upper().replace(":", "-")) == 200
    assert lab.once.decide(STRANGER, "") is BootDecision.IMAGE
    script = files.find(f"boot/machine/{STRANGER}/pcbios.ipxe")
    assert script is not None
    assert b"--drive 0x00 " in script.open().read()


def test_a_machine_has_one_order_though_it_was_ordered_before_it_was_met(lab: ServerLab) -> None:
    lab.once.order("dos.img", ["52:54:00:00:00:01"])  # the card of number 1
    client = FakeClient(lab, 1).register()
    lab.once.order("tool.img", [client.id])
    assert [(o.machine, o.image.name) for o in lab.once.waiting()] == [(client.id, "tool.img")]


def test_the_mac_of_a_machine_met_is_that_machine(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    assert lab.once.order("tool.img", [boot(client)[0]]) == [client.id]


def test_an_order_is_for_all_the_machines_or_none(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    assert order(lab, "tool.img", client.id, "nobody") == 404
    assert order(lab, "none.img", client.id) == 404
    assert order(lab, "tool.img") == 422
    assert lab.once.waiting() == []


def test_a_floppy_is_refused_for_a_uefi_machine_at_once(lab: ServerLab) -> None:
    client = FakeClient(lab, 1, firmware="uefi").register()
    answer = lab.http.post(
        "/api/v1/boot-images/dos.img/boot", headers=OPERATOR, json={"machines": [client.id]}
    )
    assert answer.status_code == 403
    assert "UEFI firmware boots no floppies" in answer.json()["error"]
    assert order(lab, "live.iso", client.id) == 200


@pytest.mark.parametrize("file", ["efi.ipxe", "image"])
def test_a_floppy_is_refused_when_the_machine_turns_out_to_be_uefi(
    lab: ServerLab, files: MachineFiles, told: list[BootEvent], file: str
) -> None:
    order(lab, "dos.img", STRANGER)
    found = files.find(f"boot/machine/{STRANGER}/{file}")
    if file == "image":
        assert found is None
    else:
        assert found is not None
        assert b"sanboot" not in found.open().read()
    assert [(e.mac, e.stage) for e in told] == [(STRANGER, BootStage.REFUSED)]
    assert lab.once.decide(STRANGER, "") is BootDecision.CLIENT


def test_firmware_that_asks_once_more_gets_the_image_again(lab: ServerLab, files: MachineFiles) -> None:
    client = FakeClient(lab, 1).register()
    assert ask(files, client, "image") is None
    order(lab, "live.iso", client.id)
    mac, uuid = boot(client)
    found = files.find(f"boot/machine/{mac}/{uuid}/image")
    assert found is not None
    assert found.media_type == "application/vnd.efi-iso"
    assert found.sent is not None
    found.sent()
    assert ask(files, client, "image") == iso()


def test_an_image_that_changed_since_it_was_ordered_is_not_served(
    lab: ServerLab, files: MachineFiles
) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "live.iso", client.id)
    (lab.boot_images / "live.iso").write_bytes(iso() + b"more")
    with pytest.raises(OSError, match="changed"):
        ask(files, client, "image")


@pytest.mark.parametrize("action", ["boot-client", "boot-disk"])
def test_an_order_is_taken_back_by_saying_what_to_boot(lab: ServerLab, action: str) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "tool.img", client.id)
    answer = lab.http.post(f"/api/v1/clients/{client.id}/{action}", headers=OPERATOR).json()
    assert answer["boot_image"] == ""
    assert lab.once.decide(*boot(client)) is not BootDecision.IMAGE


def test_orders_are_taken_back_by_id_and_by_mac(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "tool.img", client.id, STRANGER)
    url, machines = "/api/v1/boot-images/cancel", [client.id, STRANGER]
    left = lab.http.post(url, headers=OPERATOR, json={"machines": machines}).json()
    assert [image["machines"] for image in left] == [[], [], []]
    lab.restart()
    assert lab.once.waiting() == []
    answer = lab.http.post(url, headers=OPERATOR, json={"machines": ["nobody"]})
    assert answer.status_code == 404


def test_an_image_that_machines_wait_for_is_not_deleted(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    order(lab, "tool.img", client.id)
    url = "/api/v1/boot-images/tool.img/delete"
    refused = lab.http.post(url, headers=OPERATOR)
    assert refused.status_code == 409
    assert client.id in refused.json()["error"]
    lab.once.cancel(lab.clients.get(client.id))
    left = lab.http.post(url, headers=OPERATOR)
    assert [i["image"] for i in left.json()] == ["dos.img", "live.iso"]
    assert lab.http.post(url, headers=OPERATOR).status_code == 404


@pytest.mark.parametrize("path", ["", "/tool.img/boot", "/cancel", "/tool.img/delete"])
def test_only_the_operator_has_machines_boot_images(lab: ServerLab, path: str) -> None:
    client = FakeClient(lab, 1).register()
    call: Callable[..., object] = lab.http.get if path == "" else lab.http.post
    for headers in ({}, client.headers):
        answer = call(f"/api/v1/boot-images{path}", headers=headers)
        assert getattr(answer, "status_code", 0) == 401


def test_scripts_follow_what_is_decided(lab: ServerLab, files: MachineFiles) -> None:
    client = FakeClient(lab, 1).register()
    mac = boot(client)[0]
    for file, word in (
        ("pcbios.ipxe", b"kernel http"),
        ("efi.ipxe", b"kernel http"),
        ("grub.cfg", b"linux ("),
    ):
        script = ask(files, client, file) or b""
        assert word in script
        assert f"fleetcast.bootif={mac}".encode() in script
    lab.clients.set_boots(lab.clients.get(client.id), BootDecision.LOCAL)
    for file, end in (("pcbios.ipxe", b"exit 1"), ("efi.ipxe", b"exit 1"), ("grub.cfg", b"reboot")):
        script = ask(files, client, file) or b""
        assert b"vmlinuz" not in script
        assert script.splitlines()[-1] == end
    for bad in ("boot/machine/zz/pcbios.ipxe", f"boot/machine/{mac}/x", "boot/once/0123456789abcdef/x"):
        assert files.find(bad) is None

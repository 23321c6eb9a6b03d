"""Captures: ordered, and ordered again; ended by what is true; never in the way of a cast."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from castcore.control import OrderKind
from castcore.disk import DiskFacts
from castcore.edge.upload import uploader
from castcore.errors import NetworkFailed, Refused
from castcore.units import GIB
from castcore.upload import NewUpload
from castserver.captures import captureroutes, captures
from castserver.captures.capturemodel import MOST_OWN, sources
from castserver.captures.captures import Captures
from castserver.media import mediaroutes
from starlette.routing import Route

from tests.support.images import blank, noise, write_at
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab
from tests.support.uploadlab import SIZE, LabHttps, plan_of, upload

FULL = "office-525400000001-8f7d7a3e1c5b4a2f9d3c000000000001"


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    (tmp_path / "images").mkdir()
    return ServerLab(store=tmp_path / "images")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    made = blank(tmp_path / "disk.raw", SIZE)
    write_at(made, 0, noise(100_000, 1))
    return made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "RETRY_SECONDS", 0.0)


def ordered(lab: ServerLab, client: FakeClient, **wishes: Any) -> dict[str, Any]:
    body = {"client": client.id, "image": "office", **wishes}
    made: dict[str, Any] = lab.operator("POST", "/captures", body)
    return made


def refused(lab: ServerLab, status: int, body: dict[str, Any]) -> str:
    answer = lab.http.post("/api/v1/captures", json=body, headers=OPERATOR)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def state(lab: ServerLab, capture: dict[str, Any]) -> tuple[str, str]:
    now = lab.operator("GET", f"/captures/{capture['capture']}")
    return now["state"], now["message"]


def test_from_the_order_to_the_image(lab: ServerLab, raw: Path) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client, full_sectors=True, partitions=[2])
    assert (capture["image"], capture["state"], capture["disks"]) == (FULL, "ordered", ["wwn-1"])
    [order] = client.orders()
    assert (order["kind"], order["cast"], order["image"]) == (
        OrderKind.CAPTURE,
        capture["capture"],
        FULL,
    )
    assert (order["disks"], order["full_sectors"], order["after"]) == (["wwn-1"], True, "stay")
    assert order["partitions"] == [2]
    client.report("capturing", cast=capture["capture"], done=5, total=10, message="5 B stored")
    shown = lab.operator("GET", "/state")["captures"]
    assert [(c["state"], c["report"]["done"]) for c in shown] == [("capturing", 5)]
    done = upload(LabHttps(client), raw, "whatever", order=capture["capture"])
    assert done.name == FULL, "the order's own name counts"
    client.report("done", cast=capture["capture"], root=done.index_digest.hex())
    ended = lab.operator("GET", f"/captures/{capture['capture']}")
    assert (ended["state"], ended["root"]) == ("done", done.index_digest.hex())
    assert ended["stored"] > 0
    assert ended["ended"]


def test_a_report_alone_makes_no_image(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client)
    client.report("done", cast=capture["capture"], root="ab" * 32)
    assert state(lab, capture)[0] == "ordered"


def test_a_machine_that_restarts_is_ordered_again_also_by_a_server_that_did(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client)
    assert len(client.orders()) == 1
    client.register()
    assert [o["cast"] for o in client.orders()] == [capture["capture"]]
    lab.restart()
    client.register()
    assert [o["cast"] for o in client.orders()] == [capture["capture"]]
    client.report("failed", cast=capture["capture"], message="/dev/sda cannot be read")
    assert state(lab, capture) == ("failed", "/dev/sda cannot be read")
    client.register()
    assert client.orders() == []


def test_one_machine_is_at_one_work_at_a_time(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client)
    assert "is being captured already" in refused(lab, 409, {"client": client.id})
    answer = lab.http.post(
        f"/api/v1/clients/{client.id}/order", json={"kind": "reboot"}, headers=OPERATOR
    )
    assert answer.status_code == 403
    lab.operator("POST", "/casts", {"image": "lab"})
    client.report("ready")
    assert [o["kind"] for o in client.orders()] == ["capture"], "it is ordered into no cast"
    lab.operator("POST", f"/captures/{capture['capture']}/cancel")
    client.report("failed", cast=capture["capture"], message="cancelled")
    assert [o["kind"] for o in client.orders()] == ["cast"]
    assert "takes part in a cast" in refused(lab, 409, {"client": client.id})


def test_a_captured_machine_is_not_overwritten_by_a_cast_for_whoever_shows_up(
    lab: ServerLab, raw: Path
) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client)
    done = upload(LabHttps(client), raw, "", order=capture["capture"])
    client.orders()
    lab.operator("POST", "/casts", {"image": "lab"})
    client.report("done", cast=capture["capture"], root=done.index_digest.hex())
    assert client.orders() == []
    cast = lab.operator("POST", "/casts", {"image": "office", "clients": [client.id]})["cast"]
    assert [o["cast"] for o in client.orders()] == [cast], "named it takes part"


def test_a_cancelled_capture_is_told_at_the_next_chunk(lab: ServerLab, raw: Path) -> None:
    client = FakeClient(lab, 1).register()
    capture = ordered(lab, client)
    lab.operator("POST", f"/captures/{capture['capture']}/cancel")
    with pytest.raises(Refused, match="cancelled by the operator"):
        upload(LabHttps(client), raw, "", order=capture["capture"])
    assert list(lab.store.iterdir()) == []
    answer = lab.http.post(f"/api/v1/captures/{capture['capture']}/cancel", headers=OPERATOR)
    assert answer.status_code == 403


def test_a_capture_belongs_to_its_machine(lab: ServerLab, raw: Path) -> None:
    capture = ordered(lab, FakeClient(lab, 1).register())
    other = FakeClient(lab, 2).register()
    for order in (capture["capture"], "k123", "x" * 1000):
        with pytest.raises(Refused, match="was not ordered"):
            upload(LabHttps(other), raw, "office", order=order)
    other.report("failed", cast=capture["capture"], message="nothing of mine")
    assert state(lab, capture) == ("ordered", "")


def test_a_capture_begun_at_the_machine_is_seen(lab: ServerLab, raw: Path) -> None:
    client = FakeClient(lab, 1).register()
    upload(LabHttps(client), raw, "office")
    [capture] = lab.operator("GET", "/captures")
    assert (capture["state"], capture["image"], capture["disks"]) == ("done", FULL, [])


def contents_sent(https: LabHttps) -> int:
    return sum(path.endswith("/chunks") for path in https.asked)


@pytest.mark.parametrize("by_order", [True, False])
def test_an_image_is_done_though_the_server_died_before_it_was_said(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch, by_order: bool
) -> None:
    client = FakeClient(lab, 1).register()
    order = ordered(lab, client)["capture"] if by_order else ""
    https = LabHttps(client)
    with monkeypatch.context() as patched:
        patched.setattr(Captures, "arrived", None)  # it dies just before
        with pytest.raises(NetworkFailed):
            upload(https, raw, "office", order=order)
    image = (lab.store / f"{FULL}.fcast/manifest.json").read_bytes()
    lab.restart()
    client.register()
    https.asked = []
    done = upload(https, raw, "office", order=order)
    assert contents_sent(https) == 0
    [capture] = lab.operator("GET", "/captures")
    assert (capture["state"], capture["root"]) == ("done", done.index_digest.hex())
    assert (lab.store / f"{FULL}.fcast/manifest.json").read_bytes() == image


def test_the_end_of_an_order_may_be_asked_for_again_by_who_has_read_the_same(
    lab: ServerLab, raw: Path
) -> None:
    client = FakeClient(lab, 1).register()
    order = ordered(lab, client)["capture"]
    first = upload(LabHttps(client), raw, "", order=order)
    lab.restart()
    client.register()
    https = LabHttps(client)
    assert upload(https, raw, "", order=order).index_digest == first.index_digest
    assert contents_sent(https) == 0
    write_at(raw, 0, noise(100_000, 2))
    with pytest.raises(Refused, match="exists already"):
        upload(https, raw, "", order=order)
    assert lab.operator("GET", f"/captures/{order}")["root"] == first.index_digest.hex()
    shutil.rmtree(lab.store / f"{FULL}.fcast")
    with pytest.raises(Refused, match="has ended: done"):
        upload(https, raw, "", order=order)


def test_of_captures_begun_at_the_machine_the_last_are_kept(
    lab: ServerLab, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1_800_000_000, 1_900_000_000))
    monkeypatch.setattr(captures, "time", SimpleNamespace(time=lambda: next(now)))
    one, two = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    upload(LabHttps(two), raw, "office")
    ordered(lab, one)
    https = LabHttps(one)
    https.post("/api/v1/uploads", NewUpload("going", plan_of(raw)).encode())
    for number in range(MOST_OWN + 3):
        begun = https.post("/api/v1/uploads", NewUpload(f"n{number}", plan_of(raw)).encode())
        https.post(f"/api/v1/uploads/{https.parsed('', begun)['upload']}/abandon", b"")
    for _ in range(2):
        listed = lab.operator("GET", "/captures")
        own = [c["image"].partition("-")[0] for c in listed if not c["disks"]]
        assert own == ["n10", "n9", "n8", "n7", "n6", "n5", "n4", "going", "office"]
        assert [c["state"] for c in listed if c["disks"]] == ["ordered"]
        lab.restart()


def test_what_cannot_be_ordered_is_refused_with_the_reason(lab: ServerLab, raw: Path) -> None:
    client = FakeClient(lab, 1).register()
    assert "no machine" in refused(lab, 404, {"client": "m0"})
    assert "no disk '/dev/sdz'" in refused(lab, 403, {"client": client.id, "disks": ["/dev/sdz"]})
    assert "cannot be an image's name" in refused(lab, 403, {"client": client.id, "image": "../x"})
    for body in (
        {},
        {"client": 7},
        {"client": client.id, "disks": "all"},
        {"client": client.id, "x": 1},
    ):
        assert lab.http.post("/api/v1/captures", json=body, headers=OPERATOR).status_code == 422
    upload(LabHttps(client), raw, "office")
    assert "exists already" in refused(lab, 403, {"client": client.id, "image": "office"})
    assert ordered(lab, client, replace=True)["image"] == FULL
    lab.clock.now += 100
    assert "no client is running" in refused(lab, 403, {"client": client.id})


SDA = DiskFacts("/dev/sda", "wwn-1", 64 * GIB, 512)
SDB = DiskFacts("/dev/sdb", "wwn-2", 64 * GIB, 512)
STICK = DiskFacts("/dev/sdc", "usb-3", 8 * GIB, 512, removable=True)


def test_which_disks_are_captured() -> None:
    assert sources([SDA, STICK], ()) == [SDA]
    assert sources([SDA, SDB, STICK], None) == [SDA, SDB]
    assert sources([SDA, SDB, STICK], ("usb-3", "/dev/sda")) == [STICK, SDA]
    for disks, named in (([SDA, SDB], ()), ([STICK], ()), ([], None), ([SDA], ("/dev/sdb",))):
        with pytest.raises(Refused):
            sources(disks, named)


@pytest.mark.parametrize("route", [*captureroutes.routes.routes, *mediaroutes.routes.routes])
def test_only_the_operator_captures_and_sees_media(lab: ServerLab, route: Route) -> None:
    client = FakeClient(lab, 1).register()
    for method in sorted(route.methods or ()):
        url = route.path.format(capture="k1")
        for headers in ({}, client.headers):
            assert lab.http.request(method, url, headers=headers, json={}).status_code == 401

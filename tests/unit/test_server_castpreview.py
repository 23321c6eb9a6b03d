"""What a cast would do, told before it is made; how it travels, and which disks it takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import DiskFacts, DiskLayout, Extent, TableType
from castcore.image import ImageDisk, Manifest, Source, encode_manifest
from castcore.trust import SigningKey
from castcore.units import GIB
from castserver.casts.castfit import Outlook, Verdict, outlook
from castserver.casts.castpreview import Preview
from castserver.licences.licenceterms import LicencesLeft
from hypothesis import given
from hypothesis import strategies as st

from tests.support.accounts import FROM_CONSOLE
from tests.support.licences import FolderMedium
from tests.support.licensedlab import licensed_lab
from tests.support.serverlab import OPERATOR, FakeClient, FakeImage, ServerLab

FREE = Outlook(Verdict.ERASED)
RULES = '[[disk]]\nmodel = "NVMe*"\n'


def disk(path: str, gib: int, **facts: Any) -> DiskFacts:
    return DiskFacts(path, f"id-{path}", gib * GIB, 512, **facts)


def imaged(gib: int, count: int = 1) -> tuple[ImageDisk, ...]:
    layout = DiskLayout(gib * GIB, 512, TableType.NONE)
    return (ImageDisk(layout, (Extent(0, gib * GIB),)),) * count


def manifest(gib: int) -> bytes:
    root = bytes.fromhex("ab" * 32)
    made = Manifest("lab", 1, imaged(gib), root, 1, (), Source("disk", "raw"), "tests")
    return encode_manifest(made)


def lab_of(gib: int, monkeypatch: pytest.MonkeyPatch, lab: ServerLab | None = None) -> ServerLab:
    """A server whose image is of a disk so large."""
    data = manifest(gib)
    made = FakeImage.__init__

    def init(self: FakeImage, name: str, root: str, medium: str = "") -> None:
        made(self, name, root, medium)
        self.manifest_bytes = data

    monkeypatch.setattr(FakeImage, "__init__", init)
    return lab or ServerLab()


def preview(lab: ServerLab, **fields: object) -> dict[str, Any]:
    found: dict[str, Any] = lab.operator("POST", "/casts/preview", {"image": "lab", **fields})
    return found


def test_machines_are_told_apart_by_what_would_become_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    good, busy, away = (FakeClient(lab, n).register() for n in (1, 2, 3))
    cast = lab.operator("POST", "/casts", {"image": "lab", "clients": [busy.id]})["cast"]
    lab.clients.get(away.id).heard = -1e9
    found = preview(lab)
    assert {m["client"]: m["verdict"] for m in found["machines"]} == {good.id: "erased", busy.id: "busy"}
    assert found["machines"][0]["disks"] == [
        {"path": "/dev/sda", "model": "ACME SSD", "serial": "", "size": 64 * GIB}
    ]
    assert f"takes part in cast {cast}" in found["machines"][1]["reason"]
    assert (found["erased"], found["refused"], found["licences_left"]) == (1, 0, None)
    (named,) = preview(lab, clients=[away.id])["machines"]
    assert (named["verdict"], bool(named["disks"])) == ("not here", True)
    assert len(lab.operator("GET", "/casts")) == 1, "a preview makes no cast"
    assert all(image.closed for image in lab.library.opened[1:])


def test_a_machine_that_was_never_met_is_not_here_and_its_disks_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = lab_of(40, monkeypatch)
    entry = lab.operator("POST", "/machines", {"name": "PC09", "macs": ["52:54:00:00:00:99"]})
    found = preview(lab, clients=[entry["client"]])
    (machine,) = found["machines"]
    assert (machine["verdict"], machine["disks"]) == ("not here", [])
    assert (found["erased"], found["refused"]) == (0, 0)
    assert outlook("lab", imaged(40), None, (), hindrance=FREE) == FREE


def test_what_does_not_fit_is_told_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(100, monkeypatch)
    FakeClient(lab, 1).register()
    found = preview(lab)
    (machine,) = found["machines"]
    assert (machine["verdict"], machine["disks"], found["refused"]) == ("does not fit", [], 1)
    assert "/dev/sda is too small" in machine["reason"]


def test_the_casts_rules_choose_and_go_with_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    client = FakeClient(lab, 1).register()
    (machine,) = preview(lab, rules=RULES)["machines"]
    assert machine["verdict"] == "does not fit"
    assert "NVMe*" in machine["reason"]
    cast = lab.operator("POST", "/casts", {"image": "lab", "rules": RULES})["cast"]
    assert client.orders()[-1]["rules"] == RULES
    lab.restart()
    assert lab.operator("GET", f"/casts/{cast}")["rules"] == RULES


def test_rules_that_are_none_are_refused_at_once() -> None:
    lab = ServerLab()
    for path in ("/casts", "/casts/preview"):
        body = {"image": "lab", "rules": "[[disk]]\ncolour = 'red'\n"}
        answer = lab.http.post(f"/api/v1{path}", json=body, headers=OPERATOR)
        assert answer.status_code == 403, answer.text
        assert "the cast's rules" in answer.json()["error"]


def test_too_few_licences_are_said_before_the_cast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    lab = lab_of(40, monkeypatch, licensed_lab(medium))
    FakeClient(lab, 1).register()
    found = preview(lab)
    assert (found["licences_needed"], found["licences_left"], found["warning"]) == (1, 1, "")
    FakeClient(lab, 2).register()
    assert preview(lab)["warning"] == "the cast takes 2 licences, 1 are left"


@pytest.mark.parametrize("transport", ["auto", "multicast", "unicast"])
def test_how_a_cast_travels_is_its_own_and_survives_a_restart(transport: str) -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab", "transport": transport, "start_clients": 1})
    client.join(cast["cast"])
    assert lab.senders[0].options.transport == transport
    lab.restart()
    client.join(cast["cast"])
    assert lab.senders[0].options.transport == transport
    assert lab.operator("GET", f"/casts/{cast['cast']}")["transport"] == transport


def test_only_where_several_disks_fit_rules_are_needed() -> None:
    two = [disk("/dev/sda", 64), disk("/dev/nvme0n1", 64, model="NVMe X")]
    unclear = outlook("lab", imaged(40), two, (), hindrance=FREE)
    assert (unclear.verdict, unclear.fits) == (Verdict.MISFIT, False)
    assert "2 disks could be the target" in unclear.reason


@given(
    st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=4),
    st.integers(1, 200),
    st.sampled_from([FREE, Outlook(Verdict.BUSY, reason="busy"), Outlook(Verdict.ABSENT, reason="off")]),
)
def test_a_disk_that_would_be_lost_is_always_large_enough_and_built_in(
    disks: list[tuple[int, bool]], size: int, hindrance: Outlook
) -> None:
    facts = [disk(f"/dev/sd{n}", gib, removable=out) for n, (gib, out) in enumerate(disks)]
    found = outlook("lab", imaged(size), facts, (), hindrance=hindrance)
    built_in = [f for f in facts if not f.removable]
    fits = len(built_in) == 1 and built_in[0].size >= size * GIB
    assert found.fits is fits
    assert found.disks == (tuple(built_in) if fits else ())
    assert found.verdict is (hindrance.verdict if fits else Verdict.MISFIT)
    assert fits or found.reason


def test_licences_are_counted_for_those_who_fit_here_or_not() -> None:
    machines = {
        "a": Outlook(Verdict.ERASED, (disk("/dev/sda", 1),)),
        "b": Outlook(Verdict.ABSENT, (disk("/dev/sda", 1),), "off"),
        "c": Outlook(Verdict.MISFIT, reason="too small"),
    }
    assert Preview("lab", "", machines, LicencesLeft(2)).warning == ""
    assert Preview("lab", "", machines, LicencesLeft(1)).warning
    assert Preview("lab", "", machines, LicencesLeft(2), count=3).warning
    assert Preview("lab", "", machines, LicencesLeft(None), count=3).needed == 0


def test_all_who_ask_hear_the_same_number_of_licences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    medium.issue(5, product="server-*")
    medium.issue(5, expires=(now := int(time.time())) + 100)
    medium.issue(5, key=SigningKey(bytes(32)))
    lab = lab_of(40, monkeypatch, licensed_lab(medium))
    clients = [FakeClient(lab, n).register() for n in (1, 2, 3)]
    lab.log_in()
    cast = lab.operator("POST", "/casts", {"image": "lab", "clients": [c.id for c in clients]})["cast"]

    def heard() -> tuple[int, bool, bool]:
        wish = {"image": "lab", "clients": [c.id for c in clients]}
        asked = lab.http.post("/ask/cast", json=wish, headers=FROM_CONSOLE).text
        found = preview(lab, clients=[c.id for c in clients])
        return (
            found["licences_left"],
            f"too few: there are {found['licences_left']}." in asked,
            "Too few licences are left: 2 " in lab.http.get(f"/casts/{cast}/ask/start").text,
        )

    assert heard() == (6, False, False)
    monkeypatch.setattr(time, "time", lambda: now + 200.0)
    assert heard() == (1, True, True)
    clients[0].join(cast)  # it has its own, and the others are short of two
    assert heard()[::2] == (0, True)


def test_a_damaged_image_is_refused_with_its_reason() -> None:
    lab = ServerLab()  # whose images have no manifest at all
    answer = lab.http.post("/api/v1/casts/preview", json={"image": "lab"}, headers=OPERATOR)
    assert answer.status_code == 403
    assert "manifest" in answer.json()["error"]
    assert answer.json()["hint"]

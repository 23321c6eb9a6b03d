"""The console's form of a new cast: whom it means, what is asked before it, and what is wrong where."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from castserver.accounts.roles import Role
from castserver.console.castform import Wrong, asked_of
from castserver.console.newcastpages import MOST_NAMED, MOST_UNFOLDED

from tests.support.accounts import FROM_CONSOLE
from tests.support.licences import FolderMedium
from tests.support.licensedlab import licensed_lab
from tests.support.serverlab import FakeClient, ServerLab
from tests.unit.test_server_castpreview import RULES, lab_of


@pytest.fixture
def lab() -> ServerLab:
    lab = ServerLab()
    lab.log_in()
    return lab


def room(lab: ServerLab) -> list[FakeClient]:
    """PC01 of ROOM0, PC02 and PC03 of ROOM1; the first two have an SSD."""
    clients = [FakeClient(lab, n).register() for n in (1, 2, 3)]
    for n, client in enumerate(clients, 1):
        body = {"name": f"PC0{n}", "groups": [f"ROOM{n // 2}"], "tags": ["ssd"] if n < 3 else []}
        lab.operator("PUT", f"/machines/{client.id}", body)
    return clients


def plain(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def question(lab: ServerLab, language: str = "en", **wish: Any) -> str:
    """What is asked before the cast, without its markup."""
    headers = {**FROM_CONSOLE, "accept-language": language}
    answer = lab.http.post("/ask/cast", json={"image": "lab", **wish}, headers=headers)
    assert answer.status_code == 200, answer.text
    return plain(answer.text)


def wrong(lab: ServerLab, **wish: Any) -> dict[str, str]:
    """Which field makes no sense, and why."""
    answer = lab.http.post("/ask/cast", json={"image": "lab", **wish}, headers=FROM_CONSOLE)
    assert answer.status_code == 422, answer.text
    found: dict[str, str] = answer.json()
    return found


def test_making_a_cast_says_who_is_erased_and_when(lab: ServerLab) -> None:
    one, two, _ = (FakeClient(lab, number).register() for number in range(1, 4))
    told = question(lab)
    assert "Every machine that shows up is erased, once the cast is started; ready now: 3." in told
    assert "You start the cast" in told
    told = question(lab, clients=[one.id, two.id], start_clients=2)
    assert "Machines that are erased, once the cast is started: 2." in told
    assert "starts by itself when 2 have joined" in told


def test_groups_and_tags_are_counted_while_they_are_chosen(lab: ServerLab) -> None:
    clients = room(lab)
    lab.clients.get(clients[2].id).heard = -1e9
    for query, count, here in (
        ("group=ROOM1", 2, 1),
        ("group=room1&tag=SSD", 1, 1),
        ("group=ROOM0&group=ROOM1", 3, 2),
        ("tag=ssd", 2, 2),
    ):
        answer = lab.http.get(f"/ask/machines?{query}").text
        assert f'data-count="{count}"' in answer, query
        assert f"Machines: {count}, of which here now: {here}." in answer, query
    assert "no machine is in group" in lab.http.get("/ask/machines?group=nowhere").text
    assert 'data-count="0"' in lab.http.get("/ask/machines").text


def test_the_form_offers_every_group_and_tag_with_its_machines(lab: ServerLab) -> None:
    room(lab)
    page = plain(lab.http.get("/").text)
    assert re.search(r"ROOM0 1 ROOM1 2 .*ssd 2", page)
    assert "No machine is in a group yet" not in page


def test_without_groups_the_form_says_where_they_are_made(lab: ServerLab) -> None:
    assert "No machine is in a group yet" in lab.http.get("/").text


def test_the_question_tells_machines_apart_by_what_becomes_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = lab_of(40, monkeypatch)
    _, busy, away = room(lab)
    lab.log_in()
    lab.operator("POST", "/casts", {"image": "lab", "clients": [busy.id]})
    lab.clients.get(away.id).heard = -1e9
    told = question(lab, groups=["ROOM0", "ROOM1"])
    assert "once the cast is started: 3. PC01 /dev/sda ACME SSD 64.0 GiB" in told
    assert "Not here now, and erased when they come: 1 PC03" in told
    assert "Busy now, and erased only when they are free before the cast ends: 1 PC02" in told
    assert "現在接続しておらず、接続した時に消去されるマシン: 1 台" in question(
        lab, "ja", groups=["ROOM1"]
    )


def test_a_machine_that_was_never_met_is_awaited_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    lab.log_in()
    lab.operator("POST", "/machines", {"name": "PC09", "macs": ["52:54:00:00:00:99"]})
    told = question(lab, clients=["PC09"])
    assert "once the cast is started: 1." in told
    assert "Not here now, and erased when they come: 1 PC09" in told
    assert "does not fit" not in told


def test_many_machines_are_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    for number in range(1, MOST_NAMED + 3):
        FakeClient(lab, number).register()
    lab.log_in()
    answer = lab.http.post("/ask/cast", json={"image": "lab"}, headers=FROM_CONSOLE).text
    assert "<summary" in answer
    assert "and 2 more" in answer
    assert answer.count("/dev/sda") == MOST_NAMED + 2 < MOST_UNFOLDED


def test_the_question_names_the_machines_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(100, monkeypatch)
    one, two = (FakeClient(lab, n).register() for n in (1, 2))
    lab.log_in()
    asked = question(lab, start_after=300)
    assert asked.count("/dev/sda is too small") == 2
    assert "ready now: 0." in asked
    assert "5 min after the first has joined" in asked
    assert "You start the cast" not in asked
    assert question(lab, clients=[one.id]).count("/dev/sda is too small") == 1
    assert two.orders() == []


def test_the_question_is_asked_by_the_casts_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of(40, monkeypatch)
    FakeClient(lab, 1).register()
    lab.log_in()
    told = question(lab, rules=RULES)
    assert "The image does not fit 1 of the machines" in told
    assert "NVMe*" in told
    assert "chosen by the rules of this cast" in told
    assert "chosen by the rules of this cast" not in question(lab)


def test_the_question_counts_licences_for_images_of_the_medium_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    lab = lab_of(40, monkeypatch, licensed_lab(medium))
    lab.library.images["usb/lab"] = lab.library.images["lab"]
    one, two = (FakeClient(lab, n).register() for n in (1, 2))
    lab.log_in()
    assert "Licences left: 1." in question(lab, clients=[one.id])
    assert "too few: there are 1" in question(lab, clients=[one.id, two.id])
    lab.library.medium = ""
    for name in ("lab", "usb/lab"):  # in the library, and in another folder of images
        assert "icences" not in question(lab, image=name, clients=[one.id, two.id]), name


@pytest.mark.parametrize(
    ("wish", "field", "why"),
    [
        ({"rules": "[[disk]]\ncolour = 'red'"}, "rules", "colour has no meaning"),
        ({"rules": "[[disk"}, "rules", "the rules"),
        ({"groups": ["nowhere"]}, "who", "no machine is in group 'nowhere'"),
        ({"groups": []}, "groups", "at least 1"),
        ({"clients": ["PC99"]}, "who", "PC99"),
        ({"image": "none"}, "image", "there is no image"),
        ({"rate_cap": 5}, "rate_cap", ""),
        ({"start_clients": 0}, "start_clients", "greater than or equal to 1"),
        ({"after": "explode"}, "after", "reboot"),
        ({"nonsense": 1}, "nonsense", ""),
    ],
)
def test_what_is_wrong_is_said_of_its_field(
    lab: ServerLab, wish: dict[str, Any], field: str, why: str
) -> None:
    said = wrong(lab, **wish)
    assert said["field"] == field
    assert why in said["error"]
    assert lab.operator("GET", "/casts") == []


def test_every_field_that_a_cast_has_is_in_the_form(lab: ServerLab) -> None:
    script = lab.http.get("/static/newcast.js").text
    fields = lab.http.get("/openapi.json").json()["components"]["schemas"]["NewCast"]["properties"]
    missing = [field for field in fields if not re.search(rf"^    {field}: ", script, re.MULTILINE)]
    assert missing == []


def test_asking_changes_nothing_and_takes_the_consoles_header(lab: ServerLab) -> None:
    assert lab.http.post("/ask/cast", json={"image": "lab"}).status_code == 401
    lab.log_in(Role.VIEWER)
    assert question(lab)
    assert lab.operator("GET", "/casts") == []


def test_a_wish_that_makes_sense_is_the_apis(lab: ServerLab) -> None:
    one, _, three = room(lab)
    asked = asked_of(lab.clients, {"image": "lab", "groups": ["ROOM0"], "clients": ["PC03"]})
    assert not isinstance(asked, Wrong)
    assert asked.rules.targets == frozenset({one.id, three.id})

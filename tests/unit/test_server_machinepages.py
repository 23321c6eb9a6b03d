"""Machines on the command line and in the console."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from castcore.edge.commandline import Screen
from castcore.errors import Refused
from castserver.accounts.roles import Role
from castserver.commands import casts, machines

from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def room(lab: ServerLab) -> list[FakeClient]:
    clients = [FakeClient(lab, n).register() for n in (1, 2, 3)]
    for n, client in enumerate(clients, 1):
        body = {"name": f"PC0{n}", "groups": [f"ROOM{n // 2}"], "tags": ["ssd"] if n == 1 else []}
        lab.operator("PUT", f"/machines/{client.id}", body)
    return clients


class _Operator:
    """The API of a server under test, as the commands call it."""

    def __init__(self, lab: ServerLab) -> None:
        self._lab = lab

    def get(self, *path: str) -> Any:
        return self._lab.operator("GET", "/" + "/".join(path))

    def post(self, *path: str, body: Any = None) -> Any:
        return self._lab.operator("POST", "/" + "/".join(path), body or {})

    def put(self, *path: str, body: Any) -> Any:
        return self._lab.operator("PUT", "/" + "/".join(path), body)

    def send(self, *path: str, data: bytes) -> Any:
        headers = {**OPERATOR, "Content-Type": "application/octet-stream"}
        url = "/api/v1/" + "/".join(path)
        return self._lab.http.post(url, content=data, headers=headers).json()

    def fetch(self, *path: str, limit: int) -> bytes:
        data = self._lab.http.get("/api/v1/" + "/".join(path), headers=OPERATOR).content
        assert len(data) <= limit
        return data


def run(lab: ServerLab, words: Sequence[str], command: Any = machines) -> tuple[str, Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(command, "Operator", type("Of", (), {"of": staticmethod(lambda _: _Operator(lab))}))
    parser, out = argparse.ArgumentParser(), io.StringIO()
    command.add_arguments(parser)
    try:
        args = parser.parse_args([*words])
        result = command.run(args, Screen(as_json=False, out=out, err=io.StringIO()))
    finally:
        patch.undo()
    return out.getvalue(), result


def test_the_command_line_adds_names_and_marks(lab: ServerLab) -> None:
    known = FakeClient(lab, 1).register()
    words = ["add", "PC09", "--mac", "52-54-00-00-00-09", "--group", "ROOM1", "--note", "a\nb"]
    said, added = run(lab, words)
    assert "machine " + added["client"] + ": PC09" in said
    assert "note       a / b" in said
    run(lab, ["rename", known.id, "PC01"])
    run(lab, ["group", "PC01", "PC09", "--add", "ROOM2"])
    said, _ = run(lab, ["tag", "PC01", "--add", "ssd"])
    assert re.search(r"PC01 +ROOM2 +ssd", said)
    said, _ = run(lab, ["groups"])
    assert re.search(r"ROOM2 +2", said)
    run(lab, ["note", "PC01", "by the door"])
    assert "by the door" in run(lab, ["show", "52:54:00:00:00:01"])[0]
    with pytest.raises(Refused, match="no tag is named"):
        run(lab, ["tag", "PC01"])
    run(lab, ["remove", "PC09"])
    assert [m["label"] for m in run(lab, ["list"])[1]["machines"]] == ["PC01"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "PC01 PC02 PC03"),
        (["--group", "room1"], "PC02 PC03"),
        (["--tag", "SSD"], "PC01"),
        (["--search", "c03"], "PC03"),
        (["--search", "desk 3"], "PC01 PC02 PC03"),
        (["--group", "ROOM0", "--group", "ROOM1", "--in-state", "offline"], ""),
    ],
)
def test_the_list_shows_who_is_wanted(lab: ServerLab, words: list[str], shown: str) -> None:
    room(lab)
    _, result = run(lab, ["list", *words])
    assert " ".join(m["label"] for m in result["machines"]) == shown


def test_the_command_line_casts_to_a_group_and_shows_what_came_of_it(lab: ServerLab) -> None:
    one, two, _ = room(lab)
    words = ["create", "--image", "lab", "--client", "pc01", "--group", "ROOM1", "--start-clients", "1"]
    _, cast = run(lab, words, casts)
    assert len(cast["targets"]) == 3
    one.join(cast["cast"])
    one.report("done", cast=cast["cast"], root=ROOT)
    two.join(cast["cast"])
    two.report("failed", cast=cast["cast"], message="its disk broke")
    said, _ = run(lab, ["deployed"])
    assert re.search(rf"PC01 +lab .*{ROOT[:16]}", said)
    assert re.search(r"PC02 +never .*lab: failed", said)
    assert "its disk broke" in run(lab, ["history", "PC02"])[0]


def test_the_command_line_exports_and_imports(lab: ServerLab, tmp_path: Path) -> None:
    room(lab)
    file = tmp_path / "machines.csv"
    run(lab, ["export", "--output", str(file)])
    with pytest.raises(Refused, match="is there already"):
        run(lab, ["export", "--output", str(file)])
    file.write_bytes(file.read_bytes().replace(b"PC03", "机3".encode()))
    said, _ = run(lab, ["import", str(file), "--dry-run"])
    assert "0 to add, 1 to change, 2 as they are" in said
    assert "name: 'PC03' -> '机3'" in said
    assert lab.clients.by_name("PC03") is not None
    run(lab, ["import", str(file)])
    assert lab.clients.by_name("机3") is not None
    file.write_bytes(b"name,macs\nPC04,nonsense\n")
    with pytest.raises(Refused, match="nothing is imported"):
        run(lab, ["import", str(file)])


# -- console --------------------------------------------------------------------------------------


def names(html: str) -> list[str]:
    return re.findall(r'<a href="/machines/m[0-9a-f]+"><b>(.*?)</b>', html)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "PC01 PC02 PC03"),
        ("?group=room1", "PC02 PC03"),
        ("?tag=ssd&state=ready", "PC01"),
        ("?q=52:54:00:00:00:02", "PC02"),
        ("?q=nobody", ""),
    ],
)
def test_the_page_shows_who_is_searched_for(lab: ServerLab, query: str, shown: str) -> None:
    room(lab)
    lab.log_in()
    for path in ("/machines", "/machines/rows"):
        answer = lab.http.get(path + query)
        assert answer.status_code == 200
        assert " ".join(names(answer.text)) == shown
    assert lab.http.get("/machines?q=" + "x" * 201).status_code == 422


def test_a_viewer_is_shown_no_way_to_change_a_machine(lab: ServerLab) -> None:
    room(lab)
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/machines").text
    assert names(page) == ["PC01", "PC02", "PC03"]
    for form in ('id="mark"', 'id="cast"', 'id="add"', 'id="import"', 'id="edit"'):
        assert form not in page
    lab.log_in()
    assert 'id="cast"' in lab.http.get("/machines").text


def test_the_pages_of_machines_take_a_login(lab: ServerLab) -> None:
    for path in ("/machines", "/machines/m12345678"):
        answer = lab.http.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert lab.http.get("/machines/rows").status_code == 401


def test_what_people_write_never_becomes_markup(lab: ServerLab) -> None:
    client = FakeClient(lab, 1, product="<img>").register()
    evil = "<script>alert(1)<" + "\u2215script>"
    body = {"name": evil, "groups": [evil], "tags": [evil], "note": evil + '" onclick="x'}
    lab.operator("PUT", f"/machines/{client.id}", body)
    lab.log_in()
    for path in ("/machines", f"/machines/{client.id}"):
        page = lab.http.get(path).text
        assert "<script>alert" not in page
        assert '" onclick' not in page
        assert "&lt;script&gt;alert" in page


def test_a_machines_page_has_its_history_in_both_languages(lab: ServerLab) -> None:
    one = room(lab)[0]
    cast = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 1})["cast"]
    one.join(cast)
    one.report("done", cast=cast, root=ROOT)
    lab.log_in()
    page = lab.http.get("/machines/PC01").text
    assert ROOT[:16] in page
    assert cast in page
    japanese = {"accept-language": "ja"}
    assert "配信の履歴" in lab.http.get("/machines/PC01", headers=japanese).text
    assert "選択した PC に配信" in lab.http.get("/machines", headers=japanese).text
    gone = lab.http.get("/machines/PC77", headers=BROWSER)
    assert gone.status_code == 404
    assert "There is no such machine." in gone.text
    assert '<nav class="pages"' in gone.text


def test_a_removed_machine_has_its_page_by_its_id(lab: ServerLab) -> None:
    client = room(lab)[0]
    cast = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 1})["cast"]
    client.join(cast)
    client.report("done", cast=cast, root=ROOT)
    lab.clients.get(client.id).heard = -1e9
    lab.operator("POST", f"/machines/{client.id}/remove")
    lab.log_in()
    page = lab.http.get(f"/machines/{client.id}").text
    assert ROOT[:16] in page
    assert "It was removed" in page
    assert "There is no such machine." in lab.http.get("/machines/PC01", headers=BROWSER).text
    assert lab.http.get("/machines/PC01").json()["error"]

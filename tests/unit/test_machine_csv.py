"""The register of machines as a file: what is read, what is refused, nothing is done by half."""

from __future__ import annotations

from typing import Any

import pytest
from castserver.accounts.roles import Role
from castserver.machines.machinecsv import MOST_BYTES, read

from tests.support.accounts import FROM_CONSOLE
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

UUID = "8f7d7a3e-1c5b-4a2f-9d3c-{:012x}"
HEADER = "id,name,macs,uuid,serial,groups,tags,note"


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def post(lab: ServerLab, what: str, text: str | bytes) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    headers = {**OPERATOR, "Content-Type": "text/csv"}
    return lab.http.post(f"/api/v1/machines/{what}", content=data, headers=headers)


def plan(lab: ServerLab, text: str | bytes) -> Any:
    answer = post(lab, "plan-import", text)
    assert answer.status_code == 200, answer.text
    return answer.json()


def do(lab: ServerLab, text: str | bytes) -> Any:
    answer = post(lab, "import", text)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problems(lab: ServerLab, text: str | bytes) -> list[str]:
    """What is wrong with a file; nothing of it is done."""
    before = export(lab)
    found = [f"{p['line']} {p['column']}: {p['what']}" for p in plan(lab, text)["problems"]]
    answer = post(lab, "import", text)
    assert answer.status_code == (403 if found else 200), answer.text
    assert not found or export(lab) == before
    return found


def export(lab: ServerLab) -> bytes:
    answer = lab.http.get("/api/v1/machines/export", headers=OPERATOR)
    assert answer.is_success, answer.text
    return answer.content


def cards(lab: ServerLab) -> dict[str, tuple[str, ...]]:
    return {
        c.card.name: (*c.card.groups, "/", *c.card.tags, "/", c.card.note) for c in lab.clients.all()
    }


def test_a_file_adds_and_changes_machines(lab: ServerLab) -> None:
    met = FakeClient(lab, 1).register()
    text = (
        f"{HEADER}\n"
        f"{met.id},PC01,,,,ROOM1|all,,by the door\n"
        f",PC02,52:54:00:00:00:02|52:54:00:00:00:12,,,ROOM1,ssd,\n"
        f",PC03,,{UUID.format(3)},A3,,,\n"
    )
    shown = plan(lab, text)
    assert (shown["add"], shown["change"], shown["same"], shown["problems"]) == (2, 1, 0, [])
    assert shown["changes"][0]["fields"]["name"] == ["", "PC01"]
    assert cards(lab) == {"": ("/", "/", "")}, "a plan does nothing"
    assert do(lab, text) == shown
    lab.restart()
    assert cards(lab) == {
        "PC01": ("ROOM1", "all", "/", "/", "by the door"),
        "PC02": ("ROOM1", "/", "ssd", "/", ""),
        "PC03": ("/", "/", ""),
    }
    assert do(lab, text)["same"] == 3
    assert lab.operator("GET", f"/clients/{met.id}")["label"] == "PC01"
    FakeClient(lab, 3, serial="A3").register()
    assert lab.operator("GET", "/clients/PC03")["met"]


def test_what_was_exported_reads_back_the_same_here_and_elsewhere(lab: ServerLab) -> None:
    for n in (1, 2):
        client = FakeClient(lab, n, serial=f"S{n}").register()
        body = {"name": f"=PC{n}", "groups": ["教室1"], "tags": ["-a", "@b"], "note": '"x"\n=1+1;\n'}
        lab.operator("PUT", f"/machines/{client.id}", body)
    lab.operator("POST", "/machines", {"name": "'=PC3", "macs": ["52:54:00:00:00:03"]})
    data = export(lab)
    assert do(lab, data)["same"] == 3
    assert export(lab) == data
    elsewhere = ServerLab()
    assert do(elsewhere, data)["add"] == 3
    assert export(elsewhere) == data


def test_no_cell_of_a_file_is_a_formula(lab: ServerLab) -> None:
    for n, name in enumerate(("=1+1", "+1", "-1", "@x", "\uff1d1", "'=1", "''@")):
        lab.operator("POST", "/machines", {"name": name, "macs": [f"52:54:00:00:01:{n:02x}"]})
    shown = export(lab).decode("utf-8-sig")
    for line in shown.splitlines()[1:]:
        assert line.split(",")[1].startswith("'"), line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_spreadsheets_are_read(
    lab: ServerLab, encoding: str, delimiter: str, newline: str
) -> None:
    rows = [
        ["Name", "MAC", "Groups", "Note"],
        ["第1教室の表", "52-54-00-00-00-01", "教室|表", '"a,b;c"'],
        [],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    assert do(lab, text.encode(encoding))["encoding"] == encoding.removesuffix("-sig")
    assert cards(lab) == {"第1教室の表": ("教室", "表", "/", "/", "a,b;c")}


def test_a_space_that_does_not_break_is_utf8(lab: ServerLab) -> None:
    assert do(lab, "name,macs\nPC\xa01,52:54:00:00:00:01\n")["encoding"] == "utf-8"
    assert lab.operator("GET", "/clients/pc 1")["name"] == "PC 1"


def test_a_column_that_is_not_there_leaves_what_was(lab: ServerLab) -> None:
    lab.operator("POST", "/machines", {"name": "a", "macs": ["52:54:00:00:00:01"], "tags": ["t"]})
    do(lab, "name,note\nA,hello\n")
    assert cards(lab) == {"A": ("/", "t", "/", "hello")}
    do(lab, "macs,tags\n52:54:00:00:00:01,\n")
    assert cards(lab) == {"A": ("/", "/", "hello")}


def test_names_may_be_swapped_and_macs_too(lab: ServerLab) -> None:
    ids = [
        lab.operator("POST", "/machines", {"name": f"n{n}", "macs": [f"52:54:00:00:00:0{n}"]})["client"]
        for n in (1, 2)
    ]
    do(lab, f"id,name,macs\n{ids[0]},n2,52:54:00:00:00:02\n{ids[1]},n1,52:54:00:00:00:01\n")
    lab.restart()
    assert lab.operator("GET", "/clients/n2")["client"] == ids[0]
    assert lab.operator("GET", "/clients/52:54:00:00:00:02")["client"] == ids[0]


def test_an_entry_keeps_its_place_when_its_mac_is_corrected(lab: ServerLab) -> None:
    entry = lab.operator("POST", "/machines", {"name": "a", "macs": ["52:54:00:00:00:01"]})["client"]
    do(lab, f"id,macs\n{entry},52:54:00:00:00:09\n")
    assert FakeClient(lab, 9).register().id == entry


def test_every_error_names_its_line_and_column(lab: ServerLab) -> None:
    text = (
        f"{HEADER}\n"
        ',"first\nsecond",52:54:00:00:00:01,,,,,\n'
        ",a/b,52:54:00:00:00,not a uuid,oem,|,,\n"
        "\n"
        ",PC1,,,,,,\n"
        "m99,PC2,52:54:00:00:00:02,,,,,\n"
        "m00000001,PC3,,,,,,\n"
        ",PC4,52:54:00:00:00:04,,,,,,extra\n"
        f",PC5,52:54:00:00:00:05,,,{'g' * 65},,{'n' * 501}\n"
    )
    found = problems(lab, text)
    places = [f"{line.split()[0]} {line.split(':')[0].split(' ')[1]}" for line in found]
    names = ["4 name", "4 macs", "4 uuid", "4 serial", "6 name", "7 id", "8 id", "9 "]
    assert places == [*names, "10 groups", "10 note"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["name", "a", "a"], "no such machine is known"),
        (
            ["id,name,macs", ",a,52:54:00:00:00:01", ",A,52:54:00:00:00:02"],
            "3 name: A is the name of line 2",
        ),
        (["macs", "52:54:00:00:00:01", "52:54:00:00:00:01"], "3 macs: that is line 2 already"),
        (["uuid", UUID.format(5), UUID.format(5)], "3 uuid: that is line 2 already"),
        (
            ["id,macs", "m00000001,52:54:00:00:00:01", "m00000001,52:54:00:00:00:02"],
            "3 : it is of machine",
        ),
        (["name,colour,macs", "a,red,52:54:00:00:00:01"], "1 colour: there is no such column"),
        (["name,name,macs", "a,a,52:54:00:00:00:01"], "1 name: the column is there twice"),
        (["groups,tags", "a,b"], "1 : one of id, name, macs, uuid is needed"),
        (["name,macs", 'a,"52:54:00:00:00:01'], "2 : it cannot be read"),
        ([""], "1 : there is no header"),
    ],
)
def test_a_file_with_an_error_does_nothing(lab: ServerLab, lines: list[str], said: str) -> None:
    found = problems(lab, "\n".join(lines))
    assert found
    assert said in found[0]


def test_a_file_contradicts_no_machine(lab: ServerLab) -> None:
    one, two = (FakeClient(lab, n).register() for n in (1, 2))
    lab.operator("PUT", f"/machines/{one.id}", {"name": "PC1"})
    assert "says it is" in problems(lab, f"id,uuid\n{one.id},{UUID.format(9)}\n")[0]
    assert f"machine {one.id} too" in problems(lab, f"id,name\n{two.id},pc1\n")[0]
    assert "is of machine" in problems(lab, f"id,macs\n{one.id},\n,52:54:00:00:00:01\n")[0]
    text = "id,macs\nm00000001,52:54:00:00:00:01\n"
    assert f"that is machine {one.id} already" in problems(lab, text)[0]
    assert problems(lab, f"id,name\n{one.id},PC2\n{two.id},PC1\n") == []


def test_a_mac_of_two_machines_says_neither(lab: ServerLab) -> None:
    ids = []
    for n in (1, 2):
        client = FakeClient(lab, n)
        object.__setattr__(client.registration, "nics", FakeClient(lab, 7).registration.nics)
        ids.append(client.register().id)
    (found,) = problems(lab, "macs,tags\n52:54:00:00:00:07,x\n")
    assert all(name in found for name in ids)


def test_bytes_that_are_no_text_are_refused(lab: ServerLab) -> None:
    assert "neither UTF-8 nor Shift-JIS" in problems(lab, b"name,macs\n\xff\xfe,\n")[0]
    assert problems(lab, b"\x00\x00")
    assert problems(lab, b"name,macs\na\x00,52:54:00:00:00:01\n")
    assert post(lab, "import", b" " * (MOST_BYTES + 1)).status_code == 413
    assert read(b"").problems


def test_a_long_file_is_read_in_time(lab: ServerLab) -> None:
    lines = [
        f",PC{n},52:54:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x},,,R{n % 40},,"
        for n in range(1500)
    ]
    assert do(lab, "\n".join([HEADER, *lines]))["add"] == 1500
    assert do(lab, export(lab))["same"] == 1500


def test_the_audit_log_tells_what_came_of_it(lab: ServerLab) -> None:
    do(lab, "name,macs\na,52:54:00:00:00:01\n")
    newest = lab.operator("GET", "/audit")[0]
    assert newest["action"] == "POST /api/v1/machines/import"
    assert '"add": 1' in newest["detail"]


def test_a_viewer_exports_and_imports_nothing(lab: ServerLab) -> None:
    lab.log_in(Role.VIEWER)
    assert lab.http.get("/api/v1/machines/export").status_code == 200
    for what in ("import", "plan-import"):
        headers = {**FROM_CONSOLE, "Content-Type": "text/csv"}
        answer = lab.http.post(f"/api/v1/machines/{what}", content=b"name\n", headers=headers)
        assert answer.status_code == 403

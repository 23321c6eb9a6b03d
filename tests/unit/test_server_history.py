from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from castserver.accounts.roles import Role
from castserver.api.spreadsheet import MARK, csv_lines, guarded
from castserver.captures.capturemodel import CaptureState
from castserver.casts.policy import PartState
from castserver.commands import history as command
from castserver.console.forms import understood
from castserver.console.historypages import ON_A_PAGE
from castserver.console.paging import Pager
from castserver.database.tables import Base, CaptureRow, CastRow, MachineRow, PartRow
from castserver.history import historyviews
from castserver.history.history import History, HistoryState, Kind, Wanted
from hypothesis import given
from hypothesis import strategies as st

from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab, registration

DAY = 86_400
# 2026-11-01 00:00 UTC.
FIRST = 1_793_491_200


def machine(name: str) -> MachineRow:
    return MachineRow(
        id=name,
        registration=registration(1).to_json(),
        token_hash="",
        boots="client",
        orders_given=0,
        first_seen=FIRST,
        last_seen=FIRST,
    )


def cast(name: str, image: str, made_by: str = "anna") -> CastRow:
    return CastRow(
        id=name,
        image=image,
        root=ROOT,
        after="reboot",
        keep_open=False,
        update=False,
        options={},
        state="done",
        message="",
        made_by=made_by,
        disk_rules="",
        created=FIRST,
        started=FIRST + 60,
        ended=FIRST + 600,
    )


def part(name: str, of: str, state: str, changed: int, message: str = "") -> PartRow:
    return PartRow(cast=of, machine=name, state=state, message=message, changed=changed)


def capture(name: str, of: str, state: str, ended: int | None) -> CaptureRow:
    return CaptureRow(
        id=name,
        machine=of,
        image="office-525400",
        disks=[],
        options={},
        state=state,
        message="100%_sure",
        made_by="",
        created=FIRST + DAY,
        ended=ended,
        root="cd" * 32,
        stored=0,
    )


ROWS: list[Base] = [
    machine("m1"),
    machine("m2"),
    machine("m3"),
    cast("c1", "office"),
    cast("c2", "medium/office", "token nightly"),
    cast("c3", "office-june"),
    cast("c4", "2026/Mail"),
    part("m1", "c1", "done", FIRST + 500),
    part("m2", "c1", "failed", FIRST + 600, "no disk fits"),
    part("m1", "c2", "done", FIRST + DAY),
    part("m1", "c3", "joined", FIRST + 2 * DAY),
    part("m3", "c4", "gone", FIRST - DAY),
    capture("k1", "m2", "done", FIRST + 3 * DAY),
    capture("k2", "m2", "ordered", None),
]


@pytest.fixture
def history() -> History:
    lab = ServerLab()
    for row in ROWS:  # one after the other: what is referred to comes first
        lab.database.save(row)
    return History(lab.database)


# More than a statement may have values, were each bound by itself.
MANY = tuple(f"m{number:08x}" for number in range(40_000))
ALL = ["k1 m2", "c3 m1", "c2 m1", "k2 m2", "c1 m2", "c1 m1", "c4 m3"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ALL),
        (Wanted(kind=Kind.CAPTURE), ["k1 m2", "k2 m2"]),
        (Wanted(image="office"), ["c2 m1", "c1 m2", "c1 m1"]),
        (Wanted(image="medium/office"), ["c2 m1"]),
        (Wanted(image="off"), []),
        (Wanted(image="ffice"), []),
        (Wanted(image="Mail"), ["c4 m3"]),
        (Wanted(image="2026/Mail"), ["c4 m3"]),
        (Wanted(image="mail"), []),
        (Wanted(image="%"), []),
        (Wanted(image="/2026/Mail"), []),
        (Wanted(machines=("m2",)), ["k1 m2", "k2 m2", "c1 m2"]),
        (Wanted(machines=()), []),
        (Wanted(state=HistoryState.DONE), ["k1 m2", "c2 m1", "c1 m1"]),
        (Wanted(state=HistoryState.JOINED), ["c3 m1"]),
        (Wanted(since=FIRST + DAY), ["k1 m2", "c3 m1", "c2 m1", "k2 m2"]),
        (Wanted(before=FIRST + DAY), ["c1 m2", "c1 m1", "c4 m3"]),
        (Wanted(since=FIRST + DAY, before=FIRST + 2 * DAY), ["c2 m1", "k2 m2"]),
        (Wanted(text="NIGHTLY"), ["c2 m1"]),
        (Wanted(text="fits"), ["c1 m2"]),
        (Wanted(machines=(*MANY, "m3"), text="nothing", named=(*MANY, "m1", "m3")), ["c4 m3"]),
        (Wanted(text="%"), ["k1 m2", "k2 m2"]),
        (Wanted(text="_"), ["k1 m2", "k2 m2"]),
        (Wanted(text="nobody", named=("m2",)), ["k1 m2", "k2 m2", "c1 m2"]),
        (Wanted(image="office", state=HistoryState.DONE, machines=("m1",)), ["c2 m1", "c1 m1"]),
    ],
)
def test_what_is_wanted_is_found_counted_and_paged(
    history: History, wanted: Wanted, found: list[str]
) -> None:
    assert [f"{e.id} {e.machine}" for e in history.each(wanted)] == found
    assert history.count(wanted) == len(found)
    pages = [history.page(wanted, offset, 2) for offset in range(0, len(ALL), 2)]
    assert [f"{e.id} {e.machine}" for page in pages for e in page] == found


def test_only_what_was_proven_has_its_root(history: History) -> None:
    roots = {(e.id, e.machine): e.root for e in history.each(Wanted())}
    assert {key for key, root in roots.items() if root} == {("k1", "m2"), ("c2", "m1"), ("c1", "m1")}
    assert roots["c1", "m1"] == ROOT
    assert history.images() == ["Mail", "office", "office-525400", "office-june"]


def test_every_state_of_a_part_and_of_a_capture_is_known() -> None:
    assert {str(s) for s in HistoryState} == {str(s) for s in (*PartState, *CaptureState)}


# -- over the API ---------------------------------------------------------------------------------


@pytest.fixture
def lab() -> ServerLab:
    lab = ServerLab()
    first, second = (FakeClient(lab, number).register() for number in (1, 2))
    made = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 2})["cast"]
    for client in (first, second):
        client.join(made)
    first.report("done", cast=made, root=ROOT)
    second.report("failed", cast=made, message="=cmd|' /C calc'!A0")
    return lab


def test_the_history_says_who_made_a_cast_and_what_was_proven(lab: ServerLab) -> None:
    answer = lab.operator("GET", "/history")
    assert answer["total"] == 2
    by_state = {e["state"]: e for e in answer["entries"]}
    assert by_state["done"]["root"] == ROOT
    assert by_state["failed"]["root"] == ""
    assert {e["by"] for e in answer["entries"]} == {"token operator.token"}
    assert by_state["done"]["label"] == "ACME Desk 3 · 52:54:00:00:00:01"
    assert lab.operator("GET", "/history?limit=1&offset=1")["entries"] == answer["entries"][1:]


def test_who_starts_a_cast_is_remembered_over_a_restart() -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    made = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    client.join(made)
    lab.log_in(Role.OPERATOR)
    start = lab.http.post(f"/api/v1/casts/{made}/start", headers={"x-fleetcast-console": "1"})
    assert start.is_success
    lab.restart()
    assert [e["by"] for e in lab.operator("GET", "/history")["entries"]] == ["operator"]


@pytest.mark.parametrize(
    ("question", "total"),
    [
        ("machine=52:54:00:00:00:02", 1),
        ("machine=desk", 2),
        ("machine=nothing", 0),
        ("text=00:00:01", 1),
        ("state=failed", 1),
        ("since=1970-01-01&until=9999-12-31", 2),
        ("until=2001-01-01", 0),
        ("image=lab&kind=cast", 2),
    ],
)
def test_a_question_is_understood(lab: ServerLab, question: str, total: int) -> None:
    assert lab.operator("GET", f"/history?{question}")["total"] == total


@pytest.mark.parametrize(
    "question", ["state=well", "since=yesterday", "limit=0", "offset=-1", "text=%00", "other=1"]
)
def test_a_question_without_sense_is_refused(lab: ServerLab, question: str) -> None:
    assert lab.http.get(f"/api/v1/history?{question}", headers=OPERATOR).status_code == 422


def test_the_file_holds_exactly_what_was_asked_and_harms_no_spreadsheet(lab: ServerLab) -> None:
    answer = lab.http.get("/api/v1/history.csv?state=failed", headers=OPERATOR)
    assert answer.headers["content-disposition"] == 'attachment; filename="fleetcast-history.csv"'
    assert answer.content.startswith(MARK)
    heading, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert tuple(heading) == historyviews.HEADING
    assert len(rows) == 1
    assert rows[0][heading.index("message")] == "'=cmd|' /C calc'!A0"
    assert rows[0][heading.index("machine")].startswith("m")
    whole = lab.http.get("/api/v1/history.csv", headers=OPERATOR).content
    assert whole.count(b"\r\n") == 3


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2)))
def test_every_table_reads_back_and_no_cell_is_a_formula(rows: list[list[str]]) -> None:
    rows = [[cell.replace("\0", "").replace("\r", "") for cell in row] for row in rows]
    data = b"".join(csv_lines(("a", "b"), rows))
    text = data.decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert read == [[guarded(cell) for cell in row] for row in rows]
    assert not any(cell[:1] in tuple("=+-@\t") for row in read for cell in row if cell)


# -- the page -------------------------------------------------------------------------------------


def test_the_page_filters_and_offers_the_same_as_a_file(lab: ServerLab) -> None:
    assert lab.http.get("/history", follow_redirects=False).headers["location"] == "/login"
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/history").text
    assert page.count("<tr>") == 3
    assert f'title="{ROOT}"' in page
    page = lab.http.get("/history?state=failed&image=&since=&text=").text
    assert page.count("<tr>") == 2
    assert "=cmd|&#39; /C calc&#39;!A0" in page
    assert 'href="/api/v1/history.csv?state=failed"' in page
    assert '<option value="failed" selected>' in page
    page = lab.http.get("/history?since=x&text=nothing<here>").text
    assert 'role="alert"' in page
    assert "Nothing in the history is so." in page
    assert 'value="nothing&lt;here&gt;"' in page


def test_a_form_without_sense_keeps_what_has_some() -> None:
    fields = {"state": "well", "image": "office", "page": "3", "since": "2026-11-01"}
    question, wrong = understood(historyviews.Question, fields)
    assert (question.image, str(question.since), question.state) == ("office", "2026-11-01", None)
    assert wrong == {"state"}


def test_many_entries_are_paged() -> None:
    lab = ServerLab()
    lab.database.save(machine("m1"))
    names = [f"c{number}" for number in range(2 * ON_A_PAGE + 1)]
    lab.database.save(*(cast(name, "office") for name in names))
    lab.database.save(*(part("m1", name, "done", FIRST + at) for at, name in enumerate(names)))
    lab.restart()
    lab.log_in(Role.VIEWER)
    seen: list[str] = []
    place = "/history?image=office"
    while place:
        page = lab.http.get(place).text
        shown = [name for name in names if f"cast {name}</a>" in page]
        seen += shown
        following = page.partition('" rel="next"')
        place = following[0].rpartition('href="')[2].replace("&amp;", "&") if following[1] else ""
    assert len(seen) == len(set(seen)) == len(names)


@pytest.mark.parametrize(
    ("asked_for", "total", "shown"),
    [
        ("", 0, (1, 1, 0, 0)),
        ("2", 101, (2, 3, 51, 100)),
        ("9", 101, (3, 3, 101, 101)),
        ("-1", 5, (1, 1, 1, 5)),
    ],
)
def test_a_pager_stays_where_there_is_something(asked_for: str, total: int, shown: Any) -> None:
    pager = Pager.of(asked_for, total, 50)
    assert (pager.number, pager.pages, pager.first, pager.last) == shown


# -- the command ----------------------------------------------------------------------------------


def test_the_command_asks_for_as_many_as_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_ENTRIES", 2)
    calls: list[dict[str, Any]] = []

    class FakeOperator:
        def get(self, _path: str, query: dict[str, Any]) -> Any:
            calls.append(query)
            left = 5 - query["offset"]
            return {"total": 5, "entries": [{}] * min(left, query["limit"])}

    found = command._newest(FakeOperator(), [("state", "done")], 3)  # type: ignore[arg-type]
    assert (found["total"], len(found["entries"])) == (5, 3)
    assert calls == [
        {"state": "done", "offset": 0, "limit": 2},
        {"state": "done", "offset": 2, "limit": 1},
    ]
    assert len(command._newest(FakeOperator(), [], 9)["entries"]) == 5  # type: ignore[arg-type]

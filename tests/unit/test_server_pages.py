"""The console's pages beside the live one and the history: what each shows to whom."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from castcore.boot import InterfaceMode, WantedMode
from castcore.control import ClientState, MachineLog
from castcore.edge.net.interface import Interface
from castserver.accounts.roles import Caller, Role
from castserver.audit.auditroutes import Asked
from castserver.commands import serve
from castserver.console.forms import understood
from castserver.database.tables import AuditRow
from castserver.licences.licenceterms import LicenceTerms, WithoutLicence
from castserver.logs.serverlog import FILE, FOLDER, log_tail
from castserver.netboot.bootstate import Choice, Kept
from castserver.servetold import OFF, ON, Subject, told
from castserver.settings import NetworkUse, ServerSettings

from tests.support.accounts import FROM_CONSOLE
from tests.support.licences import FolderMedium
from tests.support.licensedlab import create, licensed_lab, machines
from tests.support.serverlab import OPERATOR, ROOT, TOKEN, FakeClient, ServerLab

PAGES = ("/", "/history", "/images", "/licences", "/logs", "/settings", "/account")
OF_ADMINS = ("/audit", "/users")
# Options of serve: what calls change besides, and what is over once it has started.
CHANGED_WHILE_IT_RUNS = {"--boot-mode", "--own-dhcp", "--deploy-end", "--approve-clients"}
AT_ITS_START = {"-h", "--image", "--start-clients"}
ANNA = Caller("anna", Role.OPERATOR)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.mark.parametrize("role", list(Role))
def test_every_page_has_the_bar_and_marks_itself(lab: ServerLab, role: Role) -> None:
    lab.log_in(role)
    for place in PAGES:
        page = lab.http.get(place).text
        assert f'data-role="{role.value}"' in page
        marked = page.count('aria-current="page"')
        assert marked == (0 if place == "/account" else 1), place
        for other in (*PAGES[:-1], *(OF_ADMINS if role is Role.ADMIN else ())):
            assert f'<a href="{other}"' in page, (place, other)
        assert ('href="/users"' in page) == (role is Role.ADMIN)
        assert page.count("<h1") == 1, place
    for place in OF_ADMINS:
        assert lab.http.get(place).status_code == (200 if role is Role.ADMIN else 403)


# -- the audit log --------------------------------------------------------------------------------


@pytest.fixture
def audited(lab: ServerLab) -> ServerLab:
    for number in range(1, 6):
        outcome = "no such image" if number == 3 else ""
        lab.parts.audit.note(ANNA, "10.0.0.5", f"POST /casts/{number}", '{"x": "%"}', outcome)
    lab.parts.audit.note(None, "", "PXE deploy off")
    return lab


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("", [6, 5, 4, 3, 2, 1]),
        ("who=anna", [5, 4, 3, 2, 1]),
        ("who=server", [6]),
        ("who=ann", []),
        ("failed=true", [3]),
        ("text=CASTS/4", [4]),
        ("text=%25", [5, 4, 3, 2, 1]),
        ("text=10.0.0", [5, 4, 3, 2, 1]),
        ("before=3&limit=1", [2]),
        ("until=2001-01-01", []),
        ("since=2001-01-01&until=9999-12-31", [6, 5, 4, 3, 2, 1]),
    ],
)
def test_the_audit_log_is_asked_in_sql(audited: ServerLab, question: str, numbers: list[int]) -> None:
    entries = audited.operator("GET", f"/audit?{question}")
    assert [e["number"] for e in entries] == numbers


def test_the_page_filters_the_audit_log_and_verifies_its_chain(audited: ServerLab) -> None:
    audited.log_in(Role.ADMIN)
    page = audited.http.get("/audit?failed=true&who=&since=").text
    assert "no such image" in page
    assert "POST /casts/4" not in page
    assert 'id="proof"' not in page
    page = audited.http.get("/audit?verify=yes").text
    assert "All entries up to number 6 are as they were written." in page
    row = audited.database.all(AuditRow)[3]
    row.detail = "forged"
    audited.database.save(row)
    page = audited.http.get("/audit?verify=yes").text
    assert "Entry 4 was changed, or is missing." in page


def test_a_long_audit_log_is_paged(lab: ServerLab) -> None:
    for number in range(250):
        lab.parts.audit.note(ANNA, "", f"call {number:03}")
    lab.log_in(Role.ADMIN)
    place, seen = "/audit?who=anna", []
    while place:
        page = lab.http.get(place).text
        seen += [number for number in range(250) if f"call {number:03}</code>" in page]
        head, found, _ = page.partition('" rel="next"')
        place = head.rpartition('href="')[2].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == 250


def test_a_form_that_makes_no_sense_is_understood_as_far_as_it_does() -> None:
    asked, wrong = understood(Asked, {"who": " anna ", "since": "x", "failed": "", "other": "1"})
    assert asked.question().who == "anna"
    assert wrong == {"since"}


# -- logs -----------------------------------------------------------------------------------------


def write_server_log(lab: ServerLab, name: str, text: str) -> None:
    (lab.logs.home / FOLDER).mkdir(exist_ok=True)
    (lab.logs.home / FOLDER / name).write_text(text)


def test_the_servers_log_is_shown_from_its_end_without_secrets(lab: ServerLab) -> None:
    assert lab.operator("GET", "/logs/server") == []
    write_server_log(lab, f"{FILE}.1", "first\nsecond\n")
    write_server_log(lab, FILE, f"2026 ERROR fleetcast: <third> {TOKEN}\n")
    assert log_tail(lab.logs.home, 2)[0] == "second"
    lines = lab.operator("GET", "/logs/server?lines=3")
    assert len(lines) == 3
    assert TOKEN not in "".join(lines)
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/logs").text
    assert '<span class="bad">2026 ERROR fleetcast: &lt;third&gt;' in page
    assert TOKEN not in page


def test_logs_of_machines_are_listed_unread_and_read_one_by_one(lab: ServerLab) -> None:
    one, two = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    for number, client in enumerate((one, two, one)):
        lab.logs.note(
            client.id, MachineLog(ClientState.FAILED, f"kernel {number}", "<journal>", "about")
        )
        path = lab.logs.home / "machine-logs" / client.id / f"{1 + number // 2:06}.json"
        os.utime(path, (1000 + number, 1000 + number))
    files = lab.operator("GET", "/logs/machines")
    assert [(f["machine"], f["number"], f["when"]) for f in files] == [
        (one.id, 2, 1002),
        (two.id, 1, 1001),
        (one.id, 1, 1000),
    ]
    assert lab.operator("GET", f"/logs/machines/{one.id}/2")["kernel"] == "kernel 2"
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/logs").text
    assert f'href="/logs/{two.id}/1"' in page
    assert "&lt;journal&gt;" in lab.http.get(f"/logs/{two.id}/1").text


@pytest.mark.parametrize("path", ["m404/1", "{own}/7", "..%2f..%2fetc/1"])
def test_a_log_that_is_not_there_is_said_not_to_be(lab: ServerLab, path: str) -> None:
    own = FakeClient(lab, 1).register().id
    answer = lab.http.get(f"/api/v1/logs/machines/{path.format(own=own)}", headers=OPERATOR)
    assert answer.status_code == 404
    if "%" not in path:
        lab.log_in(Role.VIEWER)
        assert "no such log here" in lab.http.get(f"/logs/{path.format(own=own)}").text


# -- licences -------------------------------------------------------------------------------------


def test_the_licences_page_shows_what_is_left_and_who_took_one(tmp_path: Path) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(3)
    lab = licensed_lab(medium)
    one, two = machines(lab, 2)
    cast = create(lab, start_clients=2)
    for client in (one, two):
        client.join(cast)
    one.report("done", cast=cast, root=ROOT)
    lab.casts.tick()
    uses = lab.operator("GET", "/licences/uses")
    assert uses["total"] == 2
    assert {(u["machine"], u["state"]) for u in uses["uses"]} == {
        (one.id, "consumed"),
        (two.id, "reserved"),
    }
    assert {u["by"] for u in uses["uses"]} == {"token operator.token"}
    assert lab.operator("GET", "/licences/uses?ledger=00")["total"] == 0
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/licences").text
    assert page.count("<tr>") == 5
    for text in (one.id, two.id, 'badge good">consumed', 'data-head="Left"><span class="badge good">1'):
        assert text in page, text
    assert 'data-do="release"' in page


def test_without_media_and_casts_the_page_says_so(lab: ServerLab) -> None:
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/licences").text
    assert "No medium with licences is connected." in page
    assert "No cast has taken a licence yet." in page


# -- settings -------------------------------------------------------------------------------------


class FakeKeeper:
    """An interface that keeps what is chosen for it."""

    kept = Kept("eth1", "10.0.1.1/24", Choice(), InterfaceMode.PROXY, "a DHCP server answers")

    def __init__(self) -> None:
        self.chosen: list[Choice] = []

    def choose(self, choice: Choice) -> None:
        self.chosen.append(choice)


def test_settings_are_shown_to_all_and_changed_by_operators(lab: ServerLab) -> None:
    keeper: Any = FakeKeeper()
    lab.booting._keepers = {"eth1": keeper}
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/settings").text
    assert "<fieldset disabled>" in page
    assert 'class="primary">Save' not in page
    lab.log_in(Role.OPERATOR)
    page = lab.http.get("/settings").text
    assert "<fieldset>" in page
    assert page.count('class="primary">Save') == 3
    assert '<option value="auto" selected>' in page
    assert "a DHCP server answers" in page
    assert "testlab</span></td>" in page
    assert "<code>--name</code>" in page
    # What the page's script sends.
    body = {"wanted": "proxy", "own_dhcp": True}
    answer = lab.http.put("/api/v1/booting/eth1", json=body, headers=FROM_CONSOLE)
    assert answer.is_success
    assert keeper.chosen == [Choice(WantedMode.PROXY, own_dhcp=True)]
    answer = lab.http.put("/api/v1/booting", json={"deploy": None, "ends": []}, headers=FROM_CONSOLE)
    assert answer.is_success
    page = lab.http.get("/settings").text
    assert '<option value="proxy" selected>' in page
    assert 'name="own_dhcp" checked' in page
    assert page.count(" checked> ") == 2


def test_every_option_of_serve_that_holds_until_the_next_start_is_told() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    options = {action.option_strings[0] for action in parser._actions if action.option_strings}
    settings = ServerSettings(
        Path("/s"), Path("/i"), (Interface("eth1", 2, "10.0.1.1", 1000),), "school"
    )
    shown = {one.option for one in told(settings, "SQLite")}
    assert options - shown - CHANGED_WHILE_IT_RUNS - AT_ITS_START == set()


def test_who_is_let_in_is_shown_to_all_and_decided_by_an_administrator(lab: ServerLab) -> None:
    for role in Role:
        lab.log_in(role)
        page = lab.http.get("/settings").text
        assert "Machines that register" in page
        assert ('data-do="approval" data-on="1"' in page) == (role is Role.ADMIN)
    assert 'data-do="approval"' not in lab.http.get("/users").text
    lab.operator("PUT", "/approval", {"required": True})
    FakeClient(lab, 1).register()
    page = lab.http.get("/settings").text
    assert "approved by hand</span>" in page
    assert "Machines that wait for approval now: 1" in page


def test_addresses_are_kept_and_given_up_on_the_settings_page(lab: ServerLab) -> None:
    lab.log_in(Role.OPERATOR)
    assert 'id="addresses"' not in lab.http.get("/settings").text
    keeper: Any = FakeKeeper()
    lab.booting._keepers = {"eth1": keeper}
    page = lab.http.get("/settings").text
    assert "None: every machine gets any free address." in page
    assert 'name="everyone">' in page
    lab.operator("POST", "/lease-rule", {"everyone": True})
    assert 'name="everyone" checked>' in lab.http.get("/settings").text
    lab.log_in(Role.VIEWER)
    assert 'id="reserve"' not in lab.http.get("/settings").text


def test_what_serve_was_told_names_the_option_of_each(lab: ServerLab) -> None:
    interface = Interface("eth1", 2, "10.0.1.1", 1000)
    settings = ServerSettings(
        Path("/state"),
        Path("/images"),
        (interface,),
        "school",
        wanted=MappingProxyType({}),
        media=(Path("/dev/sdb"),),
        licences=LicenceTerms(WithoutLicence.REFUSE, frozenset({"ab" * 32})),
        more_images=(Path("/mnt/nas"), Path("/mnt/archive")),
        network=NetworkUse(rate=40_000_000, polite=True),
    )
    found = {one.name: (one.value, one.option) for one in told(settings, "SQLite")}
    assert set(found) == set(Subject)
    assert found[Subject.NAME] == ("school", "--name")
    assert found[Subject.HTTPS] == ("TCP 8443", "--listen-https")
    assert found[Subject.WITHOUT] == ("refuse", "--without-licence")
    assert found[Subject.MEDIA] == ("/dev/sdb", "--media")
    assert found[Subject.FOLDERS] == ("/mnt/nas, /mnt/archive", "--images")
    assert found[Subject.DATABASE] == ("SQLite", "--database")
    assert found[Subject.RATE] == ("40.0 MB/s", "--rate")
    assert (found[Subject.POLITE][0], found[Subject.JUMBO][0]) == (ON, OFF)
    assert all(option.startswith("--") for _, option in found.values())
    assert lab.operator("GET", "/settings")[0] == {
        "name": "name of the server",
        "value": "testlab",
        "option": "--name",
    }

"""Logs at the server: handed in by machines, bounded, and collected without secrets."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from castcore import canonical
from castcore.control import LOG_SIZE, ClientState, MachineLog, Report
from castcore.errors import DiskFailed, Refused
from castserver.accounts.roles import Role
from castserver.casts.policy import PartState, part_after_report
from castserver.commands import logs as command
from castserver.logs import machinelogs
from castserver.logs.machinelogs import MachineLogs

from tests.support.serverlab import OPERATOR, ROOT, TOKEN, FakeClient, ServerLab

LOG = MachineLog(ClientState.FAILED, "Linux version 6.12", "casting: cast failed", "fleetcast 0.1")
SECRET = "hunter22hunter22"


def hand_in(lab: ServerLab, client: FakeClient, **changes: str) -> int:
    body = LOG.to_json() | changes
    path = f"/api/v1/clients/{client.id}/log"
    return int(lab.http.post(path, json=body, headers=client.headers).status_code)


def unpacked(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        members = [(member.name, opened.extractfile(member)) for member in opened.getmembers()]
        return {
            n.removeprefix("fleetcast-logs/"): f.read().decode() for n, f in members if f is not None
        }


def collected(lab: ServerLab, *machines: str) -> dict[str, str]:
    query = "&".join(f"machine={name}" for name in machines)
    answer = lab.http.get(f"/api/v1/logs?{query}", headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    return unpacked(answer.content)


def test_a_machine_hands_in_its_own_log_and_the_operator_reads_the_last() -> None:
    lab = ServerLab()
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    assert lab.operator("GET", f"/clients/{client.id}/log")["when"] is None
    assert hand_in(lab, client) == 200
    assert hand_in(lab, client, reason="done", journal="cast done") == 200
    shown = lab.operator("GET", f"/clients/{client.id}/log")
    assert (shown["reason"], shown["journal"]) == ("done", "cast done")
    stranger = lab.http.post(
        f"/api/v1/clients/{client.id}/log", json=LOG.to_json(), headers=other.headers
    )
    assert stranger.status_code == 401
    assert lab.http.get("/api/v1/clients/nobody/log", headers=OPERATOR).status_code == 404


@pytest.mark.parametrize(
    "changes", [{"reason": "tea"}, {"kernel": 3}, {"kernel": "\ud800"}, {"more": "x"}]
)
def test_a_malformed_log_is_refused(changes: dict[str, Any]) -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    body = json.dumps(LOG.to_json() | changes)
    answer = lab.http.post(f"/api/v1/clients/{client.id}/log", content=body, headers=client.headers)
    assert answer.status_code == 422
    assert lab.logs.of(client.id) == []


def test_the_last_few_logs_of_a_machine_are_kept(tmp_path: Path) -> None:
    logs = MachineLogs(tmp_path)
    for number in range(7):
        logs.note("m1", MachineLog(ClientState.DONE, str(number), ""))
    assert [kept.log.kernel for kept in logs.of("m1")] == ["6", "5", "4"]
    assert [kept.number for kept in MachineLogs(tmp_path).of("m1")] == [7, 6, 5]
    assert logs.of("m2") == []


@pytest.mark.parametrize("letter", ["x", "\0", "é", "\U0001f4be", '"'])
def test_the_end_of_a_long_log_is_kept_whatever_its_letters_take(tmp_path: Path, letter: str) -> None:
    logs = MachineLogs(tmp_path)
    long = letter * LOG_SIZE + "\nthe end"
    logs.note("m1", MachineLog(ClientState.DONE, long, long, long))
    [kept] = logs.of("m1")
    for text in (kept.log.kernel, kept.log.journal, kept.log.about):
        assert long.endswith(text)
        assert LOG_SIZE - 6 < len(canonical.encode(text)) - 2 <= LOG_SIZE
    [file] = tmp_path.glob("*/m1/*.json")
    assert file.stat().st_size < machinelogs.LONGEST_LOG


def test_all_logs_together_are_bounded_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machinelogs, "MOST_BYTES", 5000)
    logs = MachineLogs(tmp_path)
    for number in range(20):
        logs.note(f"m{number}", MachineLog(ClientState.DONE, "x" * 1000, ""))
    kept = [number for number in range(20) if logs.of(f"m{number}")]
    assert kept == [16, 17, 18, 19]


def test_a_damaged_log_is_left_out_and_a_full_disk_is_said(tmp_path: Path) -> None:
    logs = MachineLogs(tmp_path)
    logs.note("m1", LOG)
    (tmp_path / machinelogs.FOLDER / "m1/000002.json").write_text("{")
    assert [kept.number for kept in logs.of("m1")] == [1]
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFailed):
        MachineLogs(tmp_path / "file").note("m1", LOG)


def test_an_archive_holds_state_hardware_and_logs() -> None:
    lab = ServerLab()
    one, two = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    hand_in(lab, one)
    hand_in(lab, two, reason="done")
    files = collected(lab)
    assert files[f"machines/{one.id}/000001-failed/kernel.log"] == "Linux version 6.12\n"
    assert f"machines/{two.id}/000001-done/journal.log" in files
    hardware = json.loads(files["inventory.json"])
    assert {h["client"] for h in hardware} == {one.id, two.id}
    assert set(json.loads(files["contents.json"])) == set(files) - {"contents.json"}
    assert json.loads(files["state.json"])["clients"]
    alone = collected(lab, two.id)
    assert not any(name.startswith(f"machines/{one.id}") for name in alone)
    missing = lab.http.get("/api/v1/logs?machine=nobody", headers=OPERATOR)
    assert missing.status_code == 404


def test_the_same_state_gives_the_same_archive() -> None:
    lab = ServerLab()
    hand_in(lab, FakeClient(lab, 1).register())
    one, two = (lab.http.get("/api/v1/logs", headers=OPERATOR).content for _ in range(2))
    assert one == two


def test_planted_secrets_are_in_no_archive() -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    session = lab.parts.auth.sessions.open("anna", Role.VIEWER)
    own = lab.logs.home / "logs"
    own.mkdir()
    token = client.headers["Authorization"].split()[1]
    (own / "server.log").write_text(f"WARNING somebody sent {TOKEN} and {session}\nBearer {token}\n")
    hand_in(
        lab, client, kernel=f"Command line: password={SECRET}", journal="VK7JG-NPHTM-C97JM-9MPGT-3V66T"
    )
    stored = "".join(p.read_text() for p in lab.logs.home.rglob("*.json"))
    whole = "".join(collected(lab).values())
    for secret in (TOKEN, session, token, SECRET, "NPHTM"):
        assert secret not in whole, secret
    assert SECRET not in stored
    assert "somebody sent" in whole


def test_too_much_for_one_archive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ServerLab()
    monkeypatch.setattr("castserver.logs.collecting.MOST_LOGS", 50)
    clients = [FakeClient(lab, number).register() for number in (1, 2)]
    for client in clients:
        hand_in(lab, client)
    files = collected(lab)
    logs = [name for name in files if name.endswith("kernel.log")]
    assert len(logs) == 1
    (left,) = files["left-out.txt"].split()
    assert left.split("/")[1] in {client.id for client in clients}


def test_the_command_writes_a_new_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class FakeOperator:
        @classmethod
        def of(cls, _args: argparse.Namespace) -> FakeOperator:
            return cls()

        def fetch(self, *path: str, query: Any, limit: int) -> bytes:
            asked.append((path, query, limit))
            return b"archive"

    class Screen:
        def say(self, text: str) -> None:
            assert "7 B" in text

    monkeypatch.setattr(command, "Operator", FakeOperator)
    args = argparse.Namespace(action="collect", machines=["m1"], output=tmp_path / "x.tar.gz")
    assert command.run(args, Screen())["bytes"] == 7  # type: ignore[arg-type]
    assert (tmp_path / "x.tar.gz").read_bytes() == b"archive"
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar.gz"]
    assert asked == [(("logs",), [("machine", "m1")], command.MOST_BYTES)]
    with pytest.raises(Refused):
        command.run(args, Screen())  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [PartState.ORDERED, PartState.JOINED])
def test_a_machine_that_tries_again_by_itself_is_awaited(part: PartState) -> None:
    again = Report(ClientState.FAILED, message="x", retry=10)
    assert part_after_report(part, again, ROOT) == (part, "")
    for_good = part_after_report(part, Report(ClientState.FAILED, message="x"), ROOT)[0]
    assert for_good.ended
    gone = part_after_report(PartState.FAILED, again, ROOT)[0]
    assert gone is PartState.FAILED

from __future__ import annotations

import errno
import io
import shlex
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pytest
from castcore.edge.commandline import Screen
from castcore.edge.image.store import STORE_VARIABLE
from castcore.edge.net.identity import write_secret
from castcore.errors import BadImage, DiskFailed, NoSpace, NotFound, Refused
from castserver.accounts.roles import Role
from castserver.commands import unit as unit_command
from castserver.database.database import Database
from castserver.database.tables import SettingRow
from castserver.state import statebackup
from castserver.state.statebackup import DATABASE, SECRETS, back_up, bring_back, read
from castserver.state.statedir import STATE_VARIABLE
from castserver.state.unitfile import unit
from prometheus_client.parser import text_string_to_metric_families

from tests.support.serverlab import FakeClient, ServerLab

# -- backup ---------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    for name in SECRETS:
        (folder / name).write_text(f"content of {name}")
    (folder / "logs").mkdir()
    (folder / "logs" / "server.log").write_text("a line")
    Database.at(folder / DATABASE).save(SettingRow(name="chosen", value={"on": True}))
    return folder


def test_a_backup_of_a_running_server_comes_back_whole(state: Path, tmp_path: Path) -> None:
    running = Database.at(state / DATABASE)
    running.save(SettingRow(name="later", value={"n": 1}))
    output = tmp_path / "backup.tar.gz"
    backup = back_up(state, output)
    running.save(SettingRow(name="too late", value={}))
    assert output.stat().st_mode & 0o777 == 0o600
    assert set(backup.files) == {DATABASE, *SECRETS}
    back = tmp_path / "new" / "state"
    assert bring_back(output, back) == backup
    assert back.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in back.iterdir()} == {DATABASE, *SECRETS}
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in back.iterdir())
    for name in SECRETS:
        assert (back / name).read_text() == f"content of {name}"
    names = {row.name for row in Database.at(back / DATABASE).all(SettingRow)}
    assert names == {"chosen", "later"}
    assert list(back.parent.glob(".*")) == []


def test_nothing_is_written_over(state: Path, tmp_path: Path) -> None:
    output = tmp_path / "backup.tar.gz"
    back_up(state, output)
    with pytest.raises(Refused, match="is there already"):
        back_up(state, output)
    with pytest.raises(Refused, match="is not empty"):
        bring_back(output, state)
    with pytest.raises(NotFound):
        back_up(tmp_path, tmp_path / "other.tar.gz")
    assert not (tmp_path / "other.tar.gz").exists()
    with pytest.raises(NotFound):
        bring_back(tmp_path / "nosuch", tmp_path / "new")


def test_a_mount_point_may_become_the_state(state: Path, tmp_path: Path) -> None:
    back_up(state, tmp_path / "backup.tar.gz")
    point = tmp_path / "mounted"
    (point / "lost+found").mkdir(parents=True)
    bring_back(tmp_path / "backup.tar.gz", point)
    assert {p.name for p in point.iterdir()} == {"lost+found", DATABASE, *SECRETS}


def test_what_cannot_be_written_leaves_nothing(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(state, tmp_path / "backup.tar.gz")

    def full(path: Path, data: bytes) -> None:
        if path.name == DATABASE:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_secret(path, data)

    monkeypatch.setattr(statebackup, "write_secret", full)
    with pytest.raises(NoSpace):
        bring_back(tmp_path / "backup.tar.gz", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_backup_cut_or_changed_anywhere_is_refused(state: Path, tmp_path: Path) -> None:
    output = tmp_path / "backup.tar.gz"
    back_up(state, output)
    whole, damaged = output.read_bytes(), tmp_path / "damaged.tar.gz"
    step = max(len(whole) // 60, 1)
    for at in range(12, len(whole), step):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :]):
            damaged.write_bytes(content)
            try:
                backup, contents = read(damaged)
            except BadImage:
                continue
            # What the change did not reach is the same to the last byte.
            assert contents == read(output)[1]
            assert backup.files == {name: len(c) for name, c in contents.items()}
    assert not (tmp_path / "new").exists()


def hostile(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        hostile(tarfile.TarInfo("../../etc/passwd"), b"x"),
        hostile(tarfile.TarInfo("backup.json"), b"[]"),
        hostile(tarfile.TarInfo("backup.json"), b"{"),
        hostile(tarfile.TarInfo("backup.json"), b'{"format": 2, "files": {}}'),
        hostile(tarfile.TarInfo("backup.json"), b'{"format": 1, "files": {"a": 7}}'),
    ],
)
def test_a_hostile_archive_is_bad_and_leaves_nothing(content: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(BadImage):
        bring_back(archive, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_a_damaged_database_is_not_taken_for_whole(state: Path, tmp_path: Path) -> None:
    for beside in state.glob(f"{DATABASE}-*"):
        beside.unlink()
    (state / DATABASE).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(DiskFailed, match=DATABASE):
        back_up(state, tmp_path / "backup.tar.gz")
    assert not (tmp_path / "backup.tar.gz").exists()


def test_the_copy_needs_nothing_beside_it(state: Path, tmp_path: Path) -> None:
    back_up(state, tmp_path / "backup.tar.gz")
    (tmp_path / "alone").write_bytes(read(tmp_path / "backup.tar.gz")[1][DATABASE])
    connection = sqlite3.connect(f"file:{tmp_path / 'alone'}?mode=ro&immutable=1", uri=True)
    assert connection.execute("select count(*) from settings").fetchone() == (1,)
    connection.close()


# -- metrics --------------------------------------------------------------------------------------


def collected(lab: ServerLab) -> dict[str, float]:
    lab.log_in(Role.VIEWER)
    answer = lab.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        " ".join([s.name, *(f"{k}={v}" for k, v in sorted(s.labels.items()))]): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }


def test_metrics_count_machines_and_casts() -> None:
    lab = ServerLab()
    assert lab.http.get("/metrics").status_code == 401
    client = FakeClient(lab, 1).register()
    FakeClient(lab, 2).register()
    client.join(cast := lab.operator("POST", "/casts", {"image": "lab"})["cast"])
    client.report("receiving", cast=cast, done=30, total=120)
    found = collected(lab)
    assert found["fleetcast_machines state=receiving"] == 1
    assert found["fleetcast_machines state=ready"] == 1
    assert found["fleetcast_machines state=failed"] == 0
    assert found["fleetcast_casts state=gathering"] == 1
    assert found[f"fleetcast_cast_machines cast={cast} image=lab state=joined"] == 1
    assert found["fleetcast_pxe_deploy"] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20
    lab.operator("POST", f"/casts/{cast}/cancel")
    found = collected(lab)
    assert found["fleetcast_casts state=cancelled"] == 1
    assert not [name for name in found if f"cast={cast}" in name], "ended casts have no series"


# -- the unit -------------------------------------------------------------------------------------


class _Screen(Screen):
    def __init__(self) -> None:
        super().__init__(as_json=True, out=io.StringIO(), err=io.StringIO())


def made(*options: str) -> str:
    import argparse

    parser = argparse.ArgumentParser()
    unit_command.add_arguments(parser)
    answer: dict[str, Any] = unit_command.run(parser.parse_args(["--", *options]), _Screen())
    return str(answer["unit"])


def served(text: str) -> list[str]:
    """What the unit gives to `fleetcast serve`."""
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    assert Path(words[0]).is_absolute()
    return words[words.index("serve") + 1 :]


def test_the_unit_starts_the_server_with_the_options() -> None:
    text = made("--images", "/srv/my images", "--interface", "eth1", "--image", "lab")
    words = served(text)
    assert words[:4] == ["--interface", "eth1", "--image", "lab"]
    assert words[words.index("--images") + 1] == "/srv/my images"


def test_the_unit_runs_the_server_of_this_directory_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STATE_VARIABLE, "its state")
    monkeypatch.setenv(STORE_VARIABLE, "/srv/$5 images")
    text = made("--media", "a.img", "--media=../b.img", "--boot-tree", "/srv/pxe")
    words = served(text)
    named = list(zip(words[::2], words[1::2], strict=True))
    assert set(named) == {
        ("--boot-tree", "/srv/pxe"),
        ("--images", "/srv/$$5 images"),
        ("--media", f"{tmp_path}/a.img"),
        ("--media", f"{tmp_path.parent}/b.img"),
        ("--state", f"{tmp_path}/its state"),
    }
    written = f'"{tmp_path}/its state" "/srv/$5 images" -{tmp_path} -{tmp_path.parent}'
    assert f"ReadWritePaths={written}" in text.splitlines()


def test_options_that_the_server_does_not_take_are_refused() -> None:
    with pytest.raises(SystemExit):
        made("--nosuch")


def test_what_systemd_would_expand_is_escaped() -> None:
    text = unit(["/bin/x", "100%", "$HOME", 'a"b\\'], ["/var/lib/a%b", "/srv/$c"])
    assert 'ExecStart=/bin/x 100%% "$$HOME" "a\\"b\\\\"' in text
    assert 'ReadWritePaths=/var/lib/a%%b "/srv/$c"' in text


def test_the_directories_that_the_server_writes_to_are_made_before_they_are_opened_to_it() -> None:
    lines = unit(["/bin/x"], ["/home/a b", "/srv/c"]).splitlines()
    assert 'ExecStartPre=+/bin/mkdir -p -- "/home/a b" /srv/c' in lines

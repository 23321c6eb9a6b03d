"""A full file system under the server's state: told as such, and no half-written secret is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from castcore.edge.net.identity import ServerIdentity
from castcore.errors import DiskFailed, FleetcastError, NoSpace
from castserver.accounts.operatortoken import load_or_make_token
from castserver.database.database import Database
from castserver.database.tables import CastRow
from sqlalchemy import event


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("castcore.edge.net.identity.os.fsync", fail)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, DiskFailed)]
)
def test_secrets_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[FleetcastError]
) -> None:
    failing(monkeypatch, number)
    for make in (ServerIdentity.load_or_make, load_or_make_token):
        with pytest.raises(kind, match=str(tmp_path)):
            make(tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite
def test_a_full_database_is_no_space(tmp_path: Path) -> None:
    database = Database.at(tmp_path / "server.sqlite")
    event.listen(
        database._opened.engine, "connect", lambda c, _: c.execute("PRAGMA max_page_count=1").close()
    )
    database._opened.engine.dispose()
    row = CastRow(
        id="c1",
        image="lab",
        disk_rules="",
        root="00",
        after="stay",
        start_clients=None,
        keep_open=False,
        update=False,
        targets=None,
        options={},
        state="failed",
        message="x" * 100_000,
        created=1,
        started=None,
        ended=None,
    )
    with pytest.raises(NoSpace, match="full"):
        database.save(row)
    database.close()

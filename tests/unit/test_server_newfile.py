"""A new file of what a server answered: whole or not at all, and over no other."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from castcore.errors import DiskFailed, NoSpace, Refused
from castserver.cli import newfile


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_new_file_takes_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: fail(errno.EPERM))
    output = tmp_path / "out.csv"
    newfile.require_new(output)
    newfile.write(output, b"first")
    with pytest.raises(Refused, match="is there already"):
        newfile.require_new(output, "--csv")
    # It came while the server was asked.
    with pytest.raises(Refused, match="is there already") as refused:
        newfile.write(output, b"second", "--csv")
    assert "--csv" in refused.value.hint
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    with pytest.raises(Refused):
        newfile.require_new(tmp_path / "dangling")
    with pytest.raises(Refused):
        newfile.write(tmp_path / "dangling", b"x")
    assert output.read_bytes() == b"first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "out.csv"]


def test_a_file_named_as_a_part_would_be_stays(tmp_path: Path) -> None:
    (tmp_path / "out.csv.part").write_bytes(b"somebody's")
    newfile.write(tmp_path / "out.csv", b"ours")
    assert (tmp_path / "out.csv.part").read_bytes() == b"somebody's"


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, DiskFailed)])
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: fail(number))
    with pytest.raises(kind):
        newfile.write(tmp_path / "out.csv", b"x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DiskFailed):
        newfile.write(tmp_path / "none" / "out.csv", b"x")

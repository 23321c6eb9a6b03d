"""Build stages: whole or absent, made once for equal inputs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from castcore.errors import DiskFailed, FleetcastError, NoSpace
from castmedia.cache import KEPT_PER_NAME, StageCache, files_digest, key


def fill(folder: Path) -> None:
    (folder / "content").write_text("whole")


def never(folder: Path) -> None:
    raise AssertionError(f"made again: {folder}")


def test_equal_inputs_are_made_once(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    first = cache.stage("s", {"packages": ["a", "b"]}, fill)
    assert cache.stage("s", {"packages": ["a", "b"]}, never) == first
    assert (first / "content").read_text() == "whole"


def test_any_other_input_is_another_stage(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    assert cache.stage("s", [1], fill) != cache.stage("s", [2], fill)
    assert key(["ab", "c"]) != key(["a", "bc"])


def test_a_half_made_stage_is_no_stage(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise FleetcastError("the network went away")

    cache = StageCache(tmp_path)
    with pytest.raises(FleetcastError, match="went away"):
        cache.stage("s", [1], fail)
    assert list(tmp_path.iterdir()) == []
    assert (cache.stage("s", [1], fill) / "content").exists()


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".partial-s-123").mkdir()
    (tmp_path / ".partial-s-123/content").touch()
    with StageCache(tmp_path).locked(lambda: None):
        assert [p.name for p in tmp_path.iterdir()] == ["lock"]


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(NoSpace, match=f"file system of {tmp_path} is full"):
        StageCache(tmp_path).stage("s", [1], full)


def test_only_the_newest_stages_of_a_name_are_kept(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    made = []
    for number in range(KEPT_PER_NAME + 1):
        made.append(cache.stage("s", [number], fill))
        os.utime(made[-1], (number, number))
    cache.stage("other", [0], fill)
    newest = cache.stage("s", ["last"], fill)
    assert not made[0].exists()
    assert made[-1].exists()
    assert newest.exists()
    assert len(list(tmp_path.glob("other-*"))) == 1


def test_a_used_stage_counts_as_new(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    used = cache.stage("s", ["used"], fill)
    os.utime(used, (0, 0))
    other = cache.stage("s", ["other"], fill)
    os.utime(other, (1, 1))
    cache.stage("s", ["used"], never)
    cache.stage("s", ["third"], fill)
    assert used.exists()
    assert not other.exists()


def test_forgotten_stages_are_made_again(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    cache.stage("s", [1], fill)
    cache.forget("s")
    with pytest.raises(AssertionError, match="made again"):
        cache.stage("s", [1], never)


def test_another_build_waits_and_says_so(tmp_path: Path) -> None:
    said = []

    class Waiting(Exception):
        pass

    def wait() -> None:
        said.append("waiting")
        raise Waiting  # instead of blocking this test

    with (
        StageCache(tmp_path).locked(never_waits),
        pytest.raises(Waiting),
        StageCache(tmp_path).locked(wait),
    ):
        pass
    assert said == ["waiting"]


def never_waits() -> None:
    raise AssertionError("nobody else holds the cache")


def test_names_and_contents_make_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    a, b = tmp_path / "a", tmp_path / "b"
    before = {files_digest(tmp_path, [a]), files_digest(tmp_path, [b]), files_digest(tmp_path, [a, b])}
    assert len(before) == 3
    a.write_text("2")
    assert files_digest(tmp_path, [a]) not in before


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file of somebody")
    cache = StageCache(tmp_path / "cache")
    with pytest.raises(DiskFailed, match="cache cannot be written"), cache.locked(lambda: None):
        pytest.fail("held")
    assert (tmp_path / "cache").read_text() == "a file of somebody"

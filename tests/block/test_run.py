"""The one door to external programs: environment, errors, bounded time."""

from __future__ import annotations

import pytest
from castcore.edge import run
from castcore.errors import MissingProgram


def test_output_comes_back_and_the_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert (
        run.run(["sh", "-c", "echo $LC_ALL $EXTRA"], timeout=5, extra_env={"EXTRA": "x"})
        == b"C.UTF-8 x\n"
    )


def test_a_failure_holds_the_command_and_what_it_said() -> None:
    with pytest.raises(
        run.ProgramFailed, match=r"`sh -c 'echo broken >&2; exit 3'`.*status 3: broken"
    ) as failed:
        run.run(["sh", "-c", "echo broken >&2; exit 3"], timeout=5)
    assert (failed.value.status, failed.value.stderr) == (3, "broken")


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(run.ProgramFailed, match="did not end"):
        run.run(["sleep", "60"], timeout=0.2)


def test_every_missing_program_is_named_at_once() -> None:
    with pytest.raises(MissingProgram, match="no-such-a, no-such-b"):
        run.require(["sh", "no-such-b", "no-such-a"], hint="")
    with pytest.raises(MissingProgram, match="no-such-a"):
        run.run(["no-such-a"], timeout=1)


def test_lines_arrive_as_they_are_printed() -> None:
    lines: list[str] = []
    run.run_lines(["sh", "-c", "echo a; echo b >&2"], lines.append)
    assert lines == ["a", "b"]


def test_a_started_program_ends_with_its_block() -> None:
    with run.started(["sleep", "60"]) as process:
        assert process.poll() is None
    assert process.returncode is not None

"""The command frame: exit codes, JSON lines, errors in one place."""

from __future__ import annotations

import argparse
import json
import resource
from typing import Any

import pytest
from castcore.edge import commandline
from castcore.errors import ExitCode, NotFound
from castcore.progress import Progress


class Greet:
    NAME = "greet"
    HELP = "Says hello."
    EXAMPLE = "tool greet world"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("whom")

    def run(self, args: argparse.Namespace, screen: commandline.Screen) -> Any:
        if args.whom == "nobody":
            raise NotFound("nobody: there is no such person", hint="name somebody else")
        if args.whom == "ctrl-c":
            raise KeyboardInterrupt
        if args.whom == "bug":
            raise IndexError("oops")
        screen.progress(Progress("greet", 1, 1))
        screen.say(f"hello {args.whom}")
        return {"greeted": args.whom}


def run(*argv: str) -> int:
    return commandline.main("tool", "A tool.", [Greet()], list(argv))


def test_people_read_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("greet", "world") == ExitCode.OK
    assert capsys.readouterr().out == "hello world\n"


def test_machines_read_json_lines_the_last_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("greet", "--json", "world") == ExitCode.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["progress", "result"]
    assert lines[-1]["greeted"] == "world"


@pytest.mark.parametrize(
    ("whom", "code", "word"),
    [
        ("nobody", ExitCode.NOT_FOUND, "no such person"),
        ("ctrl-c", ExitCode.INTERRUPTED, "stopped"),
        ("bug", ExitCode.FAILED, "internal error"),
    ],
)
def test_each_failure_has_its_code_and_one_line(
    whom: str, code: ExitCode, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("greet", "--json", whom) == code
    said = capsys.readouterr()
    last = json.loads(said.out.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("error", int(code))
    assert word in said.err
    assert "  next: " in said.err
    assert last["hint"]


def test_wrong_usage_is_exit_2_and_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as usage:
        run("greet")
    assert usage.value.code == ExitCode.USAGE
    with pytest.raises(SystemExit):
        run("greet", "--help")
    assert "tool greet world" in capsys.readouterr().out


def test_a_command_may_open_as_many_files_as_the_machine_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert run("greet", "world") == ExitCode.OK
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = commandline.MOST_FILES
    assert allowed == (most if hard == resource.RLIM_INFINITY else min(hard, most), hard)

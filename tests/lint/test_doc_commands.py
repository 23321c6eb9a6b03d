"""What README and docs tell people to type is a command, its options and arguments are those it has."""

from __future__ import annotations

import argparse
import importlib
import re
from functools import cache

import pytest

from tests.support.doccommands import Told, pages, told

PACKAGES = {"fleetcast": "castserver", "fleetcast-client": "castclient", "media-builder": "castmedia"}
TOLD = [one for page in pages() for one in told(page)]
# What stands for a number that the reader has to choose.
NUMBERS = re.compile(r"^[NMST]$")


@cache
def parser_of(program: str, command: str) -> argparse.ArgumentParser:
    """The command's own parser. Raises ModuleNotFoundError when there is no such command."""
    name = f"{PACKAGES[program]}.commands.{command.replace('-', '')}"
    parser = argparse.ArgumentParser(prog=f"{program} {command}", exit_on_error=False)
    parser.add_argument("--json", action="store_true")
    importlib.import_module(name).add_arguments(parser)
    return parser


def typed(one: Told) -> list[str]:
    """What stands behind the command as somebody might type it: one of each choice, options too."""
    words = [word.strip("[]").removesuffix("...").split("|")[0] for word in one.words[2:]]
    return ["1" if NUMBERS.match(word) else word for word in words if word]


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command's actions, by name; none where it has no actions."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def test_there_are_such_commands() -> None:
    assert len(TOLD) > 100
    assert {one.words[0] for one in TOLD} >= {"fleetcast", "media-builder"}


@pytest.mark.parametrize("one", [one for one in TOLD if one.whole], ids=str)
def test_it_can_be_typed(one: Told, capsys: pytest.CaptureFixture[str]) -> None:
    parser = parser_of(*one.words[:2])
    try:
        parser.parse_args(typed(one))
    except (SystemExit, argparse.ArgumentError) as error:
        pytest.fail(f"{one}\n{error}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("one", [one for one in TOLD if not one.whole], ids=str)
def test_what_a_sentence_names_exists(one: Told) -> None:
    parser = parser_of(*one.words[:2])
    words = typed(one)
    if words and (found := actions(parser)):
        assert words[0] in found, one
        parser = found[words[0]]
    known = {option for action in parser._actions for option in action.option_strings}
    assert {word for word in words if word.startswith("--") and word != "--"} <= known, one

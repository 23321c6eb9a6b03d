"""What an error advises can be done: an option it names is one of the command that prints it."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from functools import cache

import pytest

from tests.lint.test_layering import PACKAGES, imports, modules

FILES = dict(modules())
COMMANDS = {
    name: f"{package}.commands"
    for name, package in (
        ("fleetcast", "castserver"),
        ("fleetcast-client", "castclient"),
        ("media-builder", "castmedia"),
    )
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# `fleetcast capture --replace`: true wherever it is said, if there is such a command.
COMMAND = re.compile(r"`(fleetcast|fleetcast-client|media-builder) ([a-z-]+)([^`]*)`")


def hints() -> list[tuple[str, str]]:
    """Every text that an error is given as its advice, or as a part of it, with its module."""
    found = []
    for module, path in FILES.items():
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            given = [k.value for k in call.keywords if k.arg in ("hint", "instead")]
            given += [a for a in call.args[1:] if _text(a).startswith("another --")]
            found += [(module, text) for node in given if OPTION.search(text := _text(node))]
    return found


def _text(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)


@cache
def options(command: str) -> set[str]:
    """Every option of the module ``command``, those of its actions included."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    importlib.import_module(command).add_arguments(parser)
    found, waiting = set[str](), [parser]
    while waiting:
        for action in waiting.pop()._actions:
            found |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
    return found


def printers(module: str) -> list[str]:
    """The commands that load ``module``, and so may print what it says."""
    commands = [m for m in FILES if m.rpartition(".")[0] in COMMANDS.values()]
    return [command for command in commands if module in _loaded(command)]


@cache
def _loaded(command: str) -> set[str]:
    seen, waiting = set[str](), [command]
    while waiting:
        name = waiting.pop()
        if name in FILES and name not in seen:
            seen.add(name)
            waiting += [m for m in imports(FILES[name]) if m.partition(".")[0] in PACKAGES]
    return seen


def test_there_are_such_hints() -> None:
    assert len(hints()) > 15


@pytest.mark.parametrize(("module", "hint"), hints())
def test_an_option_in_a_hint_can_be_given(module: str, hint: str) -> None:
    for program, command, rest in COMMAND.findall(hint):
        name = command.replace("-", "")
        assert set(OPTION.findall(rest)) <= options(f"{COMMANDS[program]}.{name}"), hint
    named = set(OPTION.findall(COMMAND.sub("", hint)))
    for command in printers(module) if named else []:
        assert named <= options(command), f"{command} has not all of {named}"

"""API, command line and console have the same operations, as `operationtable` lists them."""

from __future__ import annotations

import argparse
import ast
import importlib
from functools import cache
from pathlib import Path

import castserver
import pytest
from castcore.control import API

from tests.support.operationtable import AT_THE_SERVER, OF_CLIENTS, TABLE, Lacks, There
from tests.support.serverlab import ServerLab

HOUSE = Path(castserver.__file__).parent
METHODS = {"get": "GET", "fetch": "GET", "post": "POST", "send": "POST", "put": "PUT"}
FEW = 15  # more reasons than this are no exemptions any more
Call = tuple[str, tuple[str | None, ...]]


@cache
def operations() -> frozenset[str]:
    """Every operation of the document that is not a client's own: METHOD and path."""
    paths = ServerLab().web_app.openapi()["paths"]
    return frozenset(
        f"{method.upper()} {path.removeprefix(API)}"
        for path, found in paths.items()
        for method, operation in found.items()
        if not OF_CLIENTS & set(operation["tags"]) or (method, path) == ("get", f"{API}/clients")
    )


@cache
def calls(command: str) -> frozenset[Call]:
    """What the command's code calls: the method, and each step of the path (None: known only then)."""
    files = [HOUSE / f"commands/{command}.py", *(HOUSE / "cli").glob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return frozenset(
        (METHODS[node.func.attr], tuple(_step(argument) for argument in node.args))
        for node in nodes
        if isinstance(node, ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
        if _is_operator(node.func.value)
    )


def _is_operator(value: ast.expr) -> bool:
    return ast.unparse(value) in ("operator", "Operator.of(args)")


def _step(argument: ast.expr) -> str | None:
    return str(argument.value) if isinstance(argument, ast.Constant) else None


def _makes(call: Call, operation: str, action: str) -> bool:
    """Whether ``call`` is ``operation``; a step known only then is a place, or the action."""
    method, path = operation.split()
    steps, said = path.strip("/").split("/"), call[1]
    return (method, len(steps)) == (call[0], len(said)) and all(
        is_said == step if is_said is not None else step.startswith("{") or step == action
        for is_said, step in zip(said, steps, strict=True)
    )


def actions(command: str) -> set[str]:
    """The actions of a command."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"castserver.commands.{command}").add_arguments(parser)
    return {
        name
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name in action.choices
    }


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert len(operations()) > 70
    assert sorted(operations() - TABLE.keys()) == []
    assert sorted(TABLE.keys() - operations()) == []


@pytest.mark.parametrize("operation", TABLE)
def test_a_command_makes_the_call(operation: str) -> None:
    told = TABLE[operation].command
    if isinstance(told, Lacks):
        assert told.why
        return
    command, _, action = told.partition(" ")
    assert not action or action in actions(command)
    assert any(_makes(call, operation, action) for call in calls(command)), calls(command)


@pytest.mark.parametrize("operation", TABLE)
def test_the_console_has_it(operation: str) -> None:
    told = TABLE[operation].console
    if isinstance(told, There):
        assert told.text in (HOUSE / "console" / told.file).read_text()
    else:
        assert told.why


def test_exemptions_are_few_and_nothing_lacks_in_both() -> None:
    lacking = [places for places in TABLE.values() if isinstance(places.command, Lacks)]
    assert not any(isinstance(places.console, Lacks) for places in lacking)
    unseen = [places for places in TABLE.values() if isinstance(places.console, Lacks)]
    assert len(lacking) + len(unseen) + len(AT_THE_SERVER) < FEW


@pytest.mark.parametrize("told", AT_THE_SERVER)
def test_what_is_done_at_the_server_is_a_command(told: str) -> None:
    command, _, action = told.partition(" ")
    assert action in actions(command)

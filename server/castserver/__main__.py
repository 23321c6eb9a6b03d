"""The ``fleetcast`` program: dispatches to the modules of :mod:`castserver.commands`."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
from pathlib import Path
from typing import Any, cast

from castcore.edge import commandline
from castcore.edge.commandline import Command, Screen

import castserver.commands

ABOUT = "Casts a system image to one or five hundred PCs at once, proven correct."


class Listed:
    """A command as the list of all shows it: its module is read, and loaded only to be run.

    Some commands bring a web framework or a database along, which takes a second to load.
    """

    def __init__(self, source: Path) -> None:
        words = {name: text for name, text in _texts(source.read_text()) if name.isupper()}
        self._module = source.stem
        self.NAME, self.HELP, self.EXAMPLE = (words[name] for name in ("NAME", "HELP", "EXAMPLE"))

    def load(self) -> Command:
        """The command's module."""
        return cast(Command, importlib.import_module(f"castserver.commands.{self._module}"))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare nothing: whoever asks for the list of commands does not run one."""

    def run(self, args: argparse.Namespace, screen: Screen) -> Any:
        """Do what the module does."""
        return self.load().run(args, screen)


def commands(asked: str = "") -> list[Command]:
    """The command ``asked`` for by name, loaded; else every one, by name and not loaded."""
    folder = Path(castserver.commands.__path__[0])
    listed = [Listed(path) for path in sorted(folder.glob("[a-z]*.py"))]
    wanted = next((command for command in listed if asked == command.NAME), None)
    return [wanted.load()] if wanted is not None else [*listed]


def main() -> int:
    """Run the program; return its exit code."""
    # numpy's linear algebra, which nothing here uses, would start a thread for each processor.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return commandline.main("fleetcast", ABOUT, commands(*sys.argv[1:2]))


def _texts(source: str) -> list[tuple[str, str]]:
    """The names that a module gives to literal texts, with these."""
    return [
        (node.targets[0].id, node.value.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


if __name__ == "__main__":
    sys.exit(main())

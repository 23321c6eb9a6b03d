"""The ``fleetcast`` program: dispatches to the modules of :mod:`castserver.commands`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import cast

from castcore.edge import commandline

import castserver.commands

ABOUT = "Casts a system image to one or five hundred PCs at once, proven correct."


def commands() -> list[commandline.Command]:
    """Every module of ``castserver.commands``, by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(castserver.commands.__path__))
    modules = [importlib.import_module(f"castserver.commands.{name}") for name in names]
    return [cast(commandline.Command, m) for m in modules]


def main() -> int:
    """Run the program; return its exit code."""
    return commandline.main("fleetcast", ABOUT, commands())


if __name__ == "__main__":
    sys.exit(main())

"""The ``fleetcast`` program: dispatches to the modules of :mod:`castserver.commands`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import cast

from castcore.edge import commandline

import castserver.commands

ABOUT = "Casts a system image to one or five hundred PCs at once, proven correct."


def commands(asked: str = "") -> list[commandline.Command]:
    """The module of ``castserver.commands`` that is ``asked`` for by name, else every one of them.

    One alone, because some bring a web framework or a database along, which takes a second to load.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(castserver.commands.__path__))
    wanted = [asked] if asked in names else names
    modules = [importlib.import_module(f"castserver.commands.{name}") for name in wanted]
    return [cast(commandline.Command, m) for m in modules]


def main() -> int:
    """Run the program; return its exit code."""
    return commandline.main("fleetcast", ABOUT, commands(*sys.argv[1:2]))


if __name__ == "__main__":
    sys.exit(main())

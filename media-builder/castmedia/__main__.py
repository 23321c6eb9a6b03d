"""The ``media-builder`` program: dispatches to the modules of :mod:`castmedia.commands`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import cast

from castcore.edge import commandline

import castmedia.commands

ABOUT = "Builds what boots a target machine into the Fleetcast client."


def commands() -> list[commandline.Command]:
    """Every module of ``castmedia.commands``, by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(castmedia.commands.__path__))
    modules = [importlib.import_module(f"castmedia.commands.{name}") for name in names]
    return [cast(commandline.Command, m) for m in modules]


def main() -> int:
    """Run the program; return its exit code."""
    return commandline.main("media-builder", ABOUT, commands())


if __name__ == "__main__":
    sys.exit(main())

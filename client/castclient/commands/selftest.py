"""``fleetcast-client self-test``: does this (frozen) program find everything it will need?"""

from __future__ import annotations

import argparse
import importlib
import platform
from typing import Any

from castcore import __version__
from castcore.edge import run as programs
from castcore.edge.commandline import Screen
from castcore.errors import MissingProgram

NAME = "self-test"
HELP = "import every library and look for every program the client needs; one JSON line"
EXAMPLE = "fleetcast-client self-test --json"

# What a freezing tool can miss, because parts are loaded by name or written in C.
LIBRARIES = ("numpy", "blake3", "parted", "pyudev", "zstandard", "cryptography", "ssl")
OWN = (
    "castclient.commands.boot",
    "castcore.cast.descriptor",
    "castcore.edge.cast.receiver",
    "castcore.edge.disk.disksink",
    "castcore.edge.disk.probe",
    "castcore.image",
)
PROGRAMS = ("busybox", "blkid")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""
    del parser


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Versions of all that is there. Raises MissingProgram naming everything that is not."""
    del args
    versions, missing = _libraries()
    missing += [f"program {name}" for name in PROGRAMS if programs.find(name) is None]
    if missing:
        raise MissingProgram(
            f"not usable: {', '.join(missing)}", hint="this boot image is incomplete: build it anew"
        )
    screen.say(f"all {len(LIBRARIES) + len(OWN)} libraries and {len(PROGRAMS)} programs are usable")
    return {
        "ok": True,
        "version": __version__,
        "python": platform.python_version(),
        "libraries": versions,
    }


def _libraries() -> tuple[dict[str, str], list[str]]:
    """The version of each library, and a word on each that cannot be imported."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    for name in (*LIBRARIES, *OWN):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            missing.append(f"library {name} ({error})")
        else:
            if name in LIBRARIES:
                versions[name] = str(getattr(module, "__version__", "present"))
    return versions, missing

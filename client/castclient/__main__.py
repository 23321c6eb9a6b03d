"""The ``fleetcast-client`` program. Without arguments: the client of the boot environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

from castcore.edge import commandline

from castclient.commands import boot, local, run, selftest

ABOUT = "Takes this machine's part in a cast: finds the server, receives, writes, proves."
# Named one by one: the frozen program cannot look into its package's folder.
COMMANDS = [cast(commandline.Command, module) for module in (boot, run, local, selftest)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return commandline.main("fleetcast-client", ABOUT, COMMANDS, arguments(argv or sys.argv[1:]))


def arguments(given: Sequence[str]) -> list[str]:
    """``given``, or what the two short forms stand for."""
    if not given:
        return [boot.NAME]
    return [selftest.NAME, "--json"] if list(given) == ["--self-test"] else list(given)


if __name__ == "__main__":
    sys.exit(main())

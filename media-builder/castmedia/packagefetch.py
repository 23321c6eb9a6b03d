"""One Debian package by name, fetched from the builder's source and unpacked, its scripts not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from castcore.edge import run

from castmedia import mirror
from castmedia.debianroot import explained


def fetch_package(
    root: Path,
    package: str,
    *,
    suite: str,
    components: Sequence[str],
    source: str | None,
    on_line: Callable[[str], None],
) -> None:
    """Unpack ``package`` of ``suite`` and what it depends on into ``root``.

    ``source`` is a mirror's URI, a whole apt source line (which names its components itself), or None.
    Raises NetworkFailed when it cannot be fetched, NoSpace.
    """
    command = [
        *("mmdebstrap", "--variant=extract", "--mode=root", "--architectures=amd64"),
        f"--components={','.join(components)}",
        f"--keyring={mirror.KEYRING}",
        f"--include={package}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Retries "3"',
        *(suite, str(root)),
        *([source] if source else []),
    ]
    try:
        run.run_lines(command, on_line)
    except run.ProgramFailed as error:
        raise explained(error.stderr, root) from error

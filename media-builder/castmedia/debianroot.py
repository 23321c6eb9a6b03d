"""The stage "packages": Debian's packages unpacked into a folder, their maintainer scripts not run.

What those scripts would have linked and indexed, and we need, is done here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from castcore.edge import run
from castcore.errors import FleetcastError, NetworkFailed, NoSpace, NotFound

from castmedia.mirror import KEYRING

# Debian 13 is merged-/usr; the links belong to a maintainer script of base-files.
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
UNUSED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info", "usr/share/i18n")
DEPMOD_SECONDS = 120


def make_debian_root(
    root: Path,
    *,
    suite: str,
    packages: Sequence[str],
    mirror: str | None,
    on_line: Callable[[str], None],
) -> None:
    """Unpack ``packages`` of ``suite`` (component ``main``) and all they depend on into ``root``.

    ``mirror`` is a URI or a whole apt source line; None lets mmdebstrap choose.
    Raises NetworkFailed when packages cannot be fetched, NoSpace, and run.ProgramFailed.
    """
    command = [
        "mmdebstrap",
        "--variant=extract",
        "--mode=root",
        "--architectures=amd64",
        "--components=main",
        f"--keyring={KEYRING}",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Retries "3"',
        suite,
        str(root),
        *([mirror] if mirror else []),
    ]
    try:
        run.run_lines(command, on_line)
    except run.ProgramFailed as error:
        raise explained(error.stderr, root) from error
    link_merged(root)
    (root / "usr/bin/sh").symlink_to("bash")
    for folder in UNUSED:
        shutil.rmtree(root / folder, ignore_errors=True)
    run.run(["chroot", str(root), "depmod", kernel_version(root)], timeout=DEPMOD_SECONDS)


def explained(said: str, root: Path) -> FleetcastError:
    """What a failed mmdebstrap's last lines ``said`` as one error; its very last line says nothing."""
    if "No space left on device" in said:
        return NoSpace(f"the file system of {root} is full", hint="free space, or give another --cache")
    lines = [
        line for line in said.splitlines() if line.startswith("E:") and "mmdebstrap failed" not in line
    ]
    reason = lines[0].removeprefix("E:").strip() if lines else said.strip()[-200:]
    return NetworkFailed(
        f"Debian's packages cannot be fetched: {reason}",
        hint="check the network and the host's apt sources, or name a mirror with --mirror",
    )


def link_merged(root: Path) -> None:
    """Make the links of a merged-/usr system in ``root`` where they are missing."""
    for name, target in MERGED.items():
        if not (root / name).is_symlink():
            (root / name).symlink_to(target)


def kernel_version(root: Path) -> str:
    """The version of the one kernel in ``root``. Raises NotFound for none or several."""
    found = sorted(p.name for p in (root / "usr/lib/modules").glob("*") if p.is_dir())
    if len(found) != 1:
        raise NotFound(
            f"{root} has {len(found)} kernels, one is wanted", hint="`media-builder pxe --refresh`"
        )
    return found[0]

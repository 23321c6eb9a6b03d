"""What runs here: the version, and the build of the boot image."""

from __future__ import annotations

from pathlib import Path

from castcore import __version__

BUILD_FILE = Path("/etc/fleetcast/build.json")


def own_build() -> str:
    """Both, as text; on a host there is no build."""
    try:
        build = BUILD_FILE.read_text(errors="replace")
    except OSError:
        build = ""
    return f"fleetcast {__version__}\n{build}"

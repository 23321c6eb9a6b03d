"""Which Debian mirror packages come from: the host's own, so that no address stands in our files."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run

FORMAT = "$(ORIGIN)\t$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# apt's other methods (cdrom, tor...) do not serve a second release.
METHODS = ("http:", "https:", "file:", "copy:")


@dataclass(frozen=True, slots=True)
class IndexTarget:
    """One package index of the host's apt configuration (apt-get(8), indextargets)."""

    origin: str
    release: str
    component: str
    uri: str


def parse_targets(text: str) -> tuple[IndexTarget, ...]:
    """The index targets that ``apt-get indextargets --format FORMAT`` printed."""
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(IndexTarget(*row[:4]) for row in rows if len(row) >= 4)


def debian_mirror(targets: tuple[IndexTarget, ...], codename: str) -> str | None:
    """The URI of the first Debian ``main`` source of release ``codename``, or None.

    Without downloaded indexes apt does not know a source's origin; then the release's own name
    decides, which suites of updates and security do not bear.
    """
    main = [
        t
        for t in targets
        if t.component == "main" and t.release == codename and t.uri.startswith(METHODS)
    ]
    known = [t for t in main if t.origin == "Debian"]
    unknown = [t for t in main if not t.origin]
    return next((t.uri for t in (*known, *unknown)), None)


def host_mirror() -> str | None:
    """The Debian mirror that this host uses; None on other distributions: mmdebstrap knows a default.

    Raises run.ProgramFailed when apt's configuration cannot be read.
    """
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    if release.get("ID") != "debian" or run.find("apt-get") is None:
        return None
    shown = run.run(["apt-get", "indextargets", "--format", FORMAT, "Created-By: Packages"], timeout=60)
    return debian_mirror(parse_targets(shown.decode()), release.get("VERSION_CODENAME", ""))

"""An empty Debian machine to install on: a root file system of its own, a namespace's network cards.

Nothing is in it but what Debian calls essential, and how this host reaches its package sources (the
settings of apt and pip, certificates, name servers). It sees the host's devices; its mounts are its
own and end with each command.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from castcore.edge import run
from castmedia.mirror import host_mirror

# How this host reaches package sources; what is not there is left out.
SOURCES = (
    "etc/apt",
    "etc/hosts",
    "etc/pip.conf",
    "etc/resolv.conf",
    "etc/ssl/certs",
    "etc/xdg/pip",
    "root/.config/pip",
    "usr/local/share/ca-certificates",
    "usr/share/keyrings",
)
SECONDS = 1800.0
_MOUNTS = """
mount --make-rprivate /
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
mount -t sysfs sysfs {root}/sys
mount -t tmpfs tmpfs {root}/run
for folder in {shared}; do mkdir -p {root}$folder; mount --bind -o ro $folder {root}$folder; done
exec chroot {root} /bin/sh -euc {script}
"""


@dataclass(frozen=True)
class BareRoot:
    """An empty machine in ``root``; ``shared`` are folders of packages that pip here is told of."""

    root: Path
    shared: tuple[str, ...]

    def type(self, script: str, inside: Sequence[str] = ()) -> str:
        """What ``script`` says, typed at the machine's shell as root. Raises ProgramFailed.

        ``inside`` is the command prefix of the network namespace that it runs in.
        """
        return run.run(self._command(script, inside), timeout=SECONDS, extra_env=_pip()).decode()

    @contextmanager
    def typed(self, script: str, log: Path, inside: Sequence[str]) -> Iterator[Popen[bytes]]:
        """``script`` left running, what it says in ``log``, until the block is left."""
        with (
            log.open("wb") as said,
            run.started(self._command(script, inside), stdout=said, merged=True, extra_env=_pip()) as it,
        ):
            yield it

    def put(self, source: Path, target: str) -> None:
        """The committed files of the checkout ``source`` as ``target`` on the machine."""
        into = self.root / target.lstrip("/")
        into.mkdir(parents=True)
        packed = run.run(["git", "-C", str(source), "archive", "HEAD"], timeout=60)
        run.run(["tar", "-x", "-C", str(into)], timeout=60, data=packed)

    def _command(self, script: str, inside: Sequence[str]) -> list[str]:
        mounts = _MOUNTS.format(
            root=shlex.quote(str(self.root)),
            shared=" ".join(map(shlex.quote, self.shared)),
            script=shlex.quote(script),
        )
        return [*inside, "unshare", "--mount", "/bin/sh", "-euc", mounts]


@contextmanager
def bare_root(root: Path) -> Iterator[BareRoot]:
    """An empty machine of this host's own Debian release, in the new folder ``root``.

    Raises ProgramFailed, MissingProgram.
    """
    run.require(("mmdebstrap", "chroot", "unshare", "git", "tar"), hint="run `make setup`")
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    command = ["mmdebstrap", "--variant=minbase", "--mode=root", release, str(root)]
    mirror = host_mirror()
    run.run(command + ([mirror] if mirror else []), timeout=SECONDS)
    try:
        for name in SOURCES:
            _copy(Path("/") / name, root / name)
        yield BareRoot(root, tuple(dict.fromkeys(_folders_of_pip())))
    finally:
        shutil.rmtree(root)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _pip() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def _folders_of_pip() -> Iterator[str]:
    """Folders of this host that pip takes packages from, beside its index."""
    said = run.run(["python3", "-m", "pip", "config", "list"], timeout=60, extra_env=_pip()).decode()
    for word in dict.fromkeys(said.replace("'", " ").replace("=", " ").split()):
        folder = Path(word.removeprefix("file://"))
        if folder.is_absolute() and folder.is_dir():
            # An index (PEP 503) leads to files beside it.
            yield str(folder.parent if folder.name == "simple" else folder)

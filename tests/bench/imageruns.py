"""One timed run of a program: cold caches before it, all durable at its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DROP = Path("/proc/sys/vm/drop_caches")
BLOCK = 512  # what getrusage(2) counts reads and writes of a disk in
KIB = 1024


@dataclass(frozen=True)
class Tool:
    """A way to capture a disk and to bring it back, as command lines for the shell.

    In both ``{disk}`` is the source, ``{image}`` the image (made anew each time) and ``{target}`` the
    disk to write; ``{clone}`` is the partclone of the file system.
    """

    name: str
    capture: str
    restore: str


@dataclass(frozen=True)
class Took:
    """One run: seconds, processor seconds, peak bytes of its largest process, disk traffic in bytes."""

    seconds: float
    cpu: float
    memory: int
    read: int
    written: int


FLEETCAST = f"{sys.executable} -m castserver"
OURS = Tool(
    "ours",
    f"{FLEETCAST} capture {{disk}} {{image}}",
    f"{FLEETCAST} restore {{image}} {{target}} --yes",
)
PEERS = (
    Tool(
        "partclone -q -a0",
        "{clone} -q -a0 -c -s {disk} | zstd -q -T2 -3 >{image}",
        "zstd -q -dc {image} | partclone.restore -q -C -s - -O {target}",
    ),
    Tool(
        "dd",
        "dd if={disk} bs=1M status=none | zstd -q -T2 -3 >{image}",
        "zstd -q -dc {image} | dd of={target} bs=1M conv=notrunc status=none",
    ),
    Tool(
        "qemu-img",
        "qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd -m 4 -W {disk} {image}",
        "qemu-img convert -n -f qcow2 -O raw -m 4 -W {image} {target}",
    ),
    Tool(
        "partclone",
        "{clone} -c -s {disk} | zstd -q -T2 -3 >{image}",
        "zstd -q -dc {image} | partclone.restore -C -s - -O {target}",
    ),
)


class RunFailed(Exception):
    """A program that was to be measured failed; its own words."""


def timed(command: str, *, reads: Sequence[Path], writes: Path) -> Took:
    """Run ``command`` with ``reads`` out of the cache; it has ended when ``writes`` is durable."""
    _cold([*reads, *([writes] if writes.exists() else [])])
    shell = ["/bin/bash", "-o", "pipefail", "-c", command]
    begun = time.monotonic()
    with subprocess.Popen(shell, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RunFailed(f"{command}: {said.decode(errors='replace').strip()[-400:]}")
    for file in files_of(writes):
        _sync(file)
    return Took(
        seconds=time.monotonic() - begun,
        cpu=used.ru_utime + used.ru_stime,
        memory=used.ru_maxrss * KIB,
        read=used.ru_inblock * BLOCK,
        written=used.ru_oublock * BLOCK,
    )


def files_of(path: Path) -> list[Path]:
    """``path``, or every file below it."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def size_of(path: Path) -> int:
    """The bytes of a file, or of every file of a directory."""
    return sum(p.stat().st_size for p in files_of(path))


def remove(path: Path) -> None:
    """Remove a file or directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _cold(paths: Sequence[Path]) -> None:
    os.sync()
    for file in (f for path in paths for f in files_of(path)):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    if os.access(DROP, os.W_OK):
        DROP.write_text("3\n")


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)

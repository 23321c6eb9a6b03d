"""What machines' clients have handed in of their runs: the last few of each, on the server's disk."""

from __future__ import annotations

import json
import os
import re
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from castcore import canonical
from castcore.control import LOG_SIZE, MachineLog
from castcore.edge.image.store import require_space
from castcore.errors import BadPacket, DiskFailed

FOLDER = "machine-logs"
MOST_PER_MACHINE = 3
# Of all machines together: the oldest go first. One log has three texts of LOG_SIZE bytes at most.
MOST_BYTES = 256 << 20
LONGEST_LOG = 1 << 20
_NAME = re.compile(r"(\d{6})\.json")


@dataclass(frozen=True)
class KeptLog:
    """A log as it was kept: the ``number`` counts a machine's, ``when`` is Unix seconds."""

    machine: str
    number: int
    when: int
    log: MachineLog


@dataclass(frozen=True, slots=True)
class LogFile:
    """A kept log unread: see :class:`KeptLog`; ``size`` is that of its file in bytes."""

    machine: str
    number: int
    when: int
    size: int


class MachineLogs:
    """The logs below ``home``, the server's state directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._folder = home / FOLDER
        self._lock = threading.Lock()

    def note(self, machine: str, log: MachineLog) -> None:
        """Keep ``log``, the end of each of its texts; the oldest logs make room. Raises DiskFailed."""
        log = replace(log, kernel=_end(log.kernel), journal=_end(log.journal), about=_end(log.about))
        with self._lock:
            try:
                self._write(machine, canonical.encode(log.to_json()))
                self._make_room()
            except OSError as error:
                require_space(error, self._folder, "another directory")
                raise DiskFailed(f"{self._folder}: {error.strerror}") from None

    def of(self, machine: str) -> list[KeptLog]:
        """The logs of ``machine``, the newest first."""
        return list(self._read(machine))

    def kept(self) -> list[LogFile]:
        """Every log that is kept, the newest first; none is read."""
        found = []
        for path in self._folder.glob("*/*.json"):
            name = _NAME.fullmatch(path.name)
            with suppress(FileNotFoundError):
                about = path.stat()
                if name:
                    file = LogFile(path.parent.name, int(name[1]), int(about.st_mtime), about.st_size)
                    found.append(file)
        return sorted(found, key=lambda one: (-one.when, one.machine, -one.number))

    def _write(self, machine: str, data: bytes) -> None:
        folder = self._folder / machine
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = _numbers(folder)
        name = f"{(numbers[0] if numbers else 0) + 1:06}.json"
        part = folder / f"{name}.part"
        part.write_bytes(data)
        part.rename(folder / name)
        for old in numbers[MOST_PER_MACHINE - 1 :]:
            (folder / f"{old:06}.json").unlink(missing_ok=True)

    def _make_room(self) -> None:
        found = [(p.stat(), p) for p in self._folder.glob("*/*.json")]
        total = sum(about.st_size for about, _ in found)
        for about, path in sorted(found, key=lambda entry: entry[0].st_mtime_ns):
            if total <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= about.st_size

    def _read(self, machine: str) -> Iterator[KeptLog]:
        folder = self._folder / machine
        for number in _numbers(folder):
            path = folder / f"{number:06}.json"
            with suppress(FileNotFoundError, BadPacket, ValueError):  # gone, or damaged by others
                value = json.loads(path.read_bytes()[:LONGEST_LOG])
                when = int(os.stat(path).st_mtime)
                yield KeptLog(machine, number, when, MachineLog.from_json(value))


def _end(text: str) -> str:
    """As much of the end of ``text`` as takes at most LOG_SIZE bytes where it is kept."""
    starts = range(len(text))
    return text[bisect_left(starts, -LOG_SIZE, key=lambda at: -len(canonical.encode(text[at:])) + 2) :]


def _numbers(folder: Path) -> list[int]:
    """The numbers of the logs in ``folder``, the newest first."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(name[1]) for name in found if name), reverse=True)

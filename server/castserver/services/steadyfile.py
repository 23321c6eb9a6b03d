"""Files that are served for as long as the server runs, and must stay what they were when it looked.

A file that was replaced (renamed over) is served on as it was, from a descriptor held since; one that
was changed in place is refused, in the middle of a transfer too.
"""

from __future__ import annotations

import errno
import io
import os
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class FileMark:
    """What tells one content of a file from another without reading it: bytes and nanoseconds."""

    size: int
    changed: int

    @classmethod
    def of(cls, descriptor: int) -> FileMark:
        """The mark of an open file. Raises OSError."""
        status = os.fstat(descriptor)
        return cls(status.st_size, status.st_mtime_ns)


class SteadyFile(io.FileIO):
    """An open file that can be read only while its mark is ``mark``; else OSError (ESTALE)."""

    def __init__(self, path: Path, mark: FileMark) -> None:
        super().__init__(path)
        self._mark = mark
        try:
            self._check()
        except OSError:
            self.close()
            raise

    def read(self, size: int | None = -1, /) -> bytes:
        """As for any file. What was read is given only if nothing had changed after it was read."""
        data = super().read(-1 if size is None else size)
        self._check()
        return data or b""

    def _check(self) -> None:
        if FileMark.of(self.fileno()) != self._mark:
            raise OSError(errno.ESTALE, "it was changed after the server had looked at it")


class HeldFile:
    """A file that was read once, and is held open; ``digest`` is its BLAKE3. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._own = path.open("rb", buffering=0)
        self.mark = FileMark.of(self._own.fileno())
        self.digest = self._read()

    def open(self) -> SteadyFile:
        """The same content from its start, whatever stands in its place now.

        Raises OSError, also after ``close``: a machine may ask while the server stops.
        """
        try:
            held = self._own.fileno()
        except ValueError:
            raise OSError(errno.EBADF, "it is not served any more") from None
        return SteadyFile(Path(f"/proc/self/fd/{held}"), self.mark)

    def close(self) -> None:
        """Let go of it; what was opened stays open."""
        self._own.close()

    def _read(self) -> bytes:
        hasher = blake3()
        with self.open() as stream:
            while piece := stream.read(COPY_BYTES):
                hasher.update(piece)
        return hasher.digest()

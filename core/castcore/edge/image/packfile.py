"""A pack being written: bytes are appended, and are on the medium long before the end."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from castcore.edge.disk.directio import DirectFile, huge_pages
from castcore.edge.disk.rawio import begin_writeback
from castcore.edge.image.store import writing_to
from castcore.image import Content
from castcore.units import MIB

# One write takes so much. The kernel by itself keeps half a minute of writes back: the medium would
# idle while we compress, and we while it works off everything at the end.
STEP = 2 * MIB


class PackFile:
    """A new file at ``path``, written past the page cache where that can be done.

    `finish` makes it durable. Every method raises NoSpace or DiskFailed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = huge_pages(STEP)
        self._filled = 0
        self._written = 0
        self._direct: DirectFile | None = None
        with writing_to(path):
            # Not for appending only: a direct descriptor is of the same kind.
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._direct = DirectFile.open(self._fd)

    def __enter__(self) -> PackFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """The bytes appended so far."""
        return self._written + self._filled

    def append(self, data: Content) -> int:
        """Put ``data`` at the end; the byte it starts at."""
        start, left = self.size, memoryview(data)
        while left:
            taken = min(len(left), STEP - self._filled)
            self._buffer[self._filled : self._filled + taken] = left[:taken]
            self._filled += taken
            left = left[taken:]
            if self._filled == STEP:
                self._write_out()
        return start

    def finish(self) -> None:
        """Write the rest, make all durable, and close it."""
        self._write_out()
        with writing_to(self._path.parent):
            os.fsync(self._fd)
        self.close()

    def close(self) -> None:
        """Close it as it is; a second call does nothing."""
        if self._direct is not None:
            self._direct.close()
            self._direct = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write_out(self) -> None:
        """Write what is in the buffer; but for a pack's last, that is a whole `STEP`."""
        left = self._buffer[: self._filled]
        with writing_to(self._path.parent):
            while left:
                done = self._direct.write(self._written, left) if self._direct else 0
                if not done:
                    done = os.pwrite(self._fd, left, self._written)
                    begin_writeback(self._fd, self._written, done)
                self._written += done
                self._filled -= done
                left = left[done:]

"""A ledger on its medium: read once, then changed in place, one change at a time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from castcore.edge.licence.blocks import DirectBlocks, OpenBlocks, open_direct
from castcore.errors import DiskFailed, FleetcastError, InUse
from castcore.licence import COPY, SIZE, Ledger, Step, Use, fresh_ledger, is_ledger, open_ledger


class LedgerFile:
    """The ledger at ``offset`` of the file or block device ``path``, which has ``size`` bytes for it.

    ``serial`` is the serial number of the USB disk it is on, "" for one without. One program at a time
    holds a ledger; threads of it may share one. Raises NotFound (no ledger, no such disk), InUse,
    DiskFailed, Untrusted (changed, or another disk's).

    Every change is on the medium in both copies when its call returns. A call that raises DiskFailed may
    have made its change or not: the next one reads anew what there is.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        size: int,
        serial: str,
        *,
        writable: bool = True,
        opened: OpenBlocks = open_direct,
    ) -> None:
        _require_size(path, size)
        self._blocks = opened(path, offset, writable)
        self._serial = serial
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        try:
            self._current()
        except FleetcastError:
            self._blocks.close()
            raise

    @property
    def ledger(self) -> Ledger:
        """The ledger as it stands. Raises DiskFailed, Untrusted."""
        with self._lock:
            return self._current()

    def import_licence(self, data: bytes) -> Ledger:
        """See :meth:`castcore.licence.Ledger.import_licence`; so for the others."""
        return self._change(lambda ledger: ledger.import_licence(data, _now()))

    def reserve(self, use: Use, image: str, issuers: frozenset[str] | None = None) -> Ledger:
        """Keep a licence for ``use``. Raises NoLicence, DiskFailed, Untrusted."""
        return self._change(lambda ledger: ledger.reserve(use, image, _now(), issuers))

    def consume(self, *uses: Use) -> Ledger:
        """Turn reservations into licences consumed. Raises NotFound, DiskFailed, Untrusted."""
        return self._change(lambda ledger: ledger.consume(*uses, now=_now()))

    def release(self, *uses: Use) -> Ledger:
        """Give reservations back. Raises DiskFailed, Untrusted."""
        return self._change(lambda ledger: ledger.release(*uses, now=_now()))

    def release_others(self, kept: Iterable[Use]) -> Ledger:
        """Give back every reservation but those of ``kept``. Raises DiskFailed, Untrusted."""
        return self._change(lambda ledger: ledger.release_others(kept, _now()))

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _current(self) -> Ledger:
        if self._ledger is None:
            data = self._blocks.read()
            self._ledger = open_ledger(data[:COPY], data[COPY:], self._serial)
        return self._ledger

    def _change(self, change: Callable[[Ledger], Step]) -> Ledger:
        with self._lock:
            found = self._current()
            step = change(found)
            self._ledger = None  # until all of it is on the disk, nobody knows what is there
            for write in (*found.repairs, *step.writes):
                self._blocks.write(write.offset, write.data)
            self._ledger = replace(step.ledger, repairs=())
            return self._ledger


def format_ledger(
    path: Path, offset: int, size: int, *, ledger_id: bytes | None = None, replace: bool = False
) -> str:
    """Make an empty ledger on a new medium; return its name. ``ledger_id`` are 16 bytes, else random.

    Raises InUse when there is one already and it is not to be replaced, DiskFailed, NotFound, Untrusted.
    """
    _require_size(path, size)
    name = secrets.token_bytes(16) if ledger_id is None else ledger_id
    blocks = DirectBlocks(path, offset)
    try:
        data = blocks.read()
        if not replace and is_ledger(data[:COPY], data[COPY:]):
            raise InUse(f"{path} holds a licence ledger already", hint="its licences would be lost")
        for write in fresh_ledger(name):
            blocks.write(write.offset, write.data)
    finally:
        blocks.close()
    return name.hex()


def _require_size(path: Path, size: int) -> None:
    if size < SIZE:
        raise DiskFailed(f"{path} has {size} bytes for a licence ledger, {SIZE} are needed")


def _now() -> int:
    return int(time.time())

"""A medium in memory whose power is cut in the middle of a write, at any sector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.licence import COPY, SIZE, Ledger, Write, fresh_ledger, issue_licence, open_ledger
from castcore.trust import SigningKey, digest

SECTOR = 512
SERIAL = "0123456789AB"
LEDGER_ID = bytes(range(16))
ISSUER = SigningKey(bytes(31) + b"\x01")


class PowerCut(Exception):
    """The medium has no power any more; the program that wrote to it is gone as well."""


@dataclass
class FaultyBlocks:
    """A medium of `SIZE` bytes. ``cut``: the write (counted from 0) in which the power goes, ``kept``:
    which of its sectors are new by then, ``garbage``: which are neither old nor new.
    """

    data: bytearray = field(default_factory=lambda: bytearray(SIZE))
    cut: int | None = None
    kept: Collection[int] = ()
    garbage: Collection[int] = ()
    writes: int = 0
    dead: bool = False

    def read(self) -> bytes:
        assert not self.dead
        return bytes(self.data)

    def write(self, offset: int, data: bytes) -> None:
        assert not self.dead
        assert offset % 4096 == len(data) % 4096 == 0, "whole blocks only"
        assert offset + len(data) <= SIZE, "never grown"
        cut = self.writes == self.cut
        self.writes += 1
        for number in range(len(data) // SECTOR):
            if not cut or number in self.kept:
                self._put(offset, number, data[number * SECTOR : (number + 1) * SECTOR])
            elif number in self.garbage:
                self._put(offset, number, noise(offset + number))
        if cut:
            self.dead = True
            raise PowerCut

    def close(self) -> None:
        pass

    def again(self) -> FaultyBlocks:
        """The same medium with its power back."""
        return FaultyBlocks(self.data)

    def _put(self, offset: int, number: int, sector: bytes) -> None:
        at = offset + number * SECTOR
        self.data[at : at + SECTOR] = sector


def noise(seed: int) -> bytes:
    """A sector of what a disk leaves that lost its power while it wrote it."""
    return digest(seed.to_bytes(8, "little")) * (SECTOR // 32)


def new_medium() -> FaultyBlocks:
    """A medium with an empty ledger."""
    blocks = FaultyBlocks()
    apply(blocks.data, fresh_ledger(LEDGER_ID))
    return blocks


def apply(data: bytearray, writes: Sequence[Write]) -> None:
    """Do all of ``writes``."""
    for write in writes:
        data[write.offset : write.offset + len(write.data)] = write.data


def opened(data: bytes | bytearray, serial: str = SERIAL) -> Ledger:
    """The ledger on a medium."""
    return open_ledger(bytes(data[:COPY]), bytes(data[COPY:]), serial)


def ledger_on(blocks: FaultyBlocks, serial: str = SERIAL) -> LedgerFile:
    """The ledger file of a medium, as the server has it."""

    def same(_path: Path, _offset: int, _writable: bool) -> FaultyBlocks:
        return blocks

    return LedgerFile(Path("medium"), 0, SIZE, serial, opened=same)


def licence(
    number: int,
    count: int = 10,
    *,
    product: str = "*",
    expires: int = 0,
    medium: str = "",
    key: SigningKey = ISSUER,
) -> bytes:
    """The file of licence ``number``."""
    return issue_licence(key, number.to_bytes(16, "big"), product, count, expires=expires, medium=medium)


def state(ledger: Ledger) -> object:
    """All that a ledger knows, but not what it found to repair."""
    return ledger.record, ledger.mark, ledger.licences

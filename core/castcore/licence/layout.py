"""Where everything is in a ledger of 1 MiB; ``LEDGER.md`` beside this file is its document. Bytes."""

from __future__ import annotations

from castcore.units import KIB, MIB

SIZE = MIB
COPY = SIZE // 2
COPIES = (0, COPY)
# What is written in one piece is whole blocks: every disk and file system takes those past the cache.
BLOCK = 4 * KIB
LICENCES_AT = BLOCK
LICENCE_SLOTS = 63
RECORDS_AT = LICENCES_AT + LICENCE_SLOTS * BLOCK
RECORD_SIZE = 16 * KIB
RECORD_SLOTS = (COPY - RECORDS_AT) // RECORD_SIZE


def licence_at(slot: int) -> int:
    """The offset within a copy of the licence in ``slot``."""
    return LICENCES_AT + slot * BLOCK


def record_at(sequence: int) -> int:
    """The offset within a copy of the record numbered ``sequence``."""
    return RECORDS_AT + sequence % RECORD_SLOTS * RECORD_SIZE

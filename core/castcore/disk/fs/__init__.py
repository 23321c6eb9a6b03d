"""File systems' own records of their free blocks, read by us. Pure: the reader of bytes is given.

Each reader answers with the extents that are surely free, from the file system's first byte on, and
raises BadImage for whatever it does not know or cannot prove: its caller then takes every sector.
"""

from __future__ import annotations

from collections.abc import Callable

# Takes an offset from the file system's start and a length, both in bytes; returns exactly that.
# Raises BadImage when that lies outside the file system's partition.
Reader = Callable[[int, int], bytes]

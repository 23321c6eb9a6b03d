"""GF(2^8) matrix products by ISA-L, the distribution's ``libisal2``, where it is installed.

Same polynomial (0x11d) and results as the numpy arithmetic of `parity`, at tens of its speed: the
library picks SSE, AVX2 or AVX-512 itself. A call releases the interpreter lock.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

LIBRARY = "libisal.so.2"
# What ec_init_tables may write per coefficient. Its layout is the library's own affair: up to 2.30 two
# 16-entry nibble tables, from 2.31 on (Debian 13) 8 bytes on processors with GFNI.
TABLE_SIZE = 32
# Each source row is a stream of memory accesses, and a processor foresees only so many at once: long
# rows are taken so many at a time.
ROWS_AT_ONCE, LONG_ROW = 16, 4096


class Isal:
    """The library's three functions. Raises OSError or AttributeError where they are not there."""

    def __init__(self, name: str = LIBRARY) -> None:
        library = ctypes.CDLL(name)
        self._init, self._encode = library.ec_init_tables, library.ec_encode_data
        self._invert = library.gf_invert_matrix
        self._invert.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        self._invert.restype = ctypes.c_int
        self._init.restype = self._encode.restype = None
        self._init.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._encode.argtypes = [ctypes.c_int] * 3 + [ctypes.c_void_p] * 3

    def invert(self, matrix: Bytes) -> Bytes:
        """The inverse of a square matrix. Raises ValueError when there is none."""
        work, out = np.array(matrix, order="C"), np.empty(matrix.shape, np.uint8)
        if self._invert(work.ctypes.data, out.ctypes.data, len(work)):
            raise ValueError("a singular matrix")
        return out

    def product(self, matrix: Bytes, rows: Bytes, chosen: Ints | None) -> Bytes:
        """The (m, k) ``matrix`` times the k ``chosen`` of ``rows`` (all if None), which are not copied.

        Each row must be contiguous; any distance may lie between them.
        """
        if rows.strides[1] != 1:
            rows = np.ascontiguousarray(rows)
        index = np.arange(len(rows)) if chosen is None else chosen
        assert matrix.shape[1] == len(index)
        if rows.shape[1] < LONG_ROW and len(index):
            return self._product(matrix, rows, index)
        out = np.zeros((len(matrix), rows.shape[1]), np.uint8)
        for at in range(0, len(index), ROWS_AT_ONCE):
            end = at + ROWS_AT_ONCE
            out ^= self._product(matrix[:, at:end], rows, index[at:end])
        return out

    def _product(self, matrix: Bytes, rows: Bytes, index: Ints) -> Bytes:
        count, known = matrix.shape
        out = np.empty((count, rows.shape[1]), np.uint8)
        sources = rows.ctypes.data + index * rows.strides[0]
        targets = out.ctypes.data + np.arange(count) * out.strides[0]
        factors = np.ascontiguousarray(matrix)
        tables = np.empty(factors.size * TABLE_SIZE, np.uint8)
        self._init(known, count, factors.ctypes.data, tables.ctypes.data)
        self._encode(
            *(rows.shape[1], known, count),
            *(tables.ctypes.data, sources.ctypes.data, targets.ctypes.data),
        )
        return out


def load() -> Isal | None:
    """The library, or None where it is not installed."""
    try:
        return Isal()
    except (OSError, AttributeError):
        return None

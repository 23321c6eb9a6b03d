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
# ec_init_tables expands each coefficient to two 16-entry nibble tables.
TABLE_SIZE = 32


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

    def tables(self, matrix: Bytes) -> Bytes:
        """The (m, k, 32) tables of an (m, k) matrix; a slice of them stands for that of the matrix."""
        whole = np.ascontiguousarray(matrix)
        made = np.empty((*whole.shape, TABLE_SIZE), np.uint8)
        self._init(whole.shape[1], whole.shape[0], whole.ctypes.data, made.ctypes.data)
        return made

    def invert(self, matrix: Bytes) -> Bytes:
        """The inverse of a square matrix. Raises ValueError when there is none."""
        work, out = np.array(matrix, order="C"), np.empty(matrix.shape, np.uint8)
        if self._invert(work.ctypes.data, out.ctypes.data, len(work)):
            raise ValueError("a singular matrix")
        return out

    def product(self, tables: Bytes, rows: Bytes, chosen: Ints | None) -> Bytes:
        """The matrix of ``tables`` times the ``chosen`` of ``rows`` (all if None), which are not copied.

        Each row must be contiguous; any distance may lie between them.
        """
        if rows.strides[1] != 1:
            rows = np.ascontiguousarray(rows)
        index = np.arange(len(rows)) if chosen is None else chosen
        count, known = tables.shape[:2]
        assert len(index) == known
        out = np.empty((count, rows.shape[1]), np.uint8)
        sources = rows.ctypes.data + index * rows.strides[0]
        targets = out.ctypes.data + np.arange(count) * out.strides[0]
        whole = np.ascontiguousarray(tables)
        self._encode(
            *(rows.shape[1], known, count),
            *(whole.ctypes.data, sources.ctypes.data, targets.ctypes.data),
        )
        return out


def load() -> Isal | None:
    """The library, or None where it is not installed."""
    try:
        return Isal()
    except (OSError, AttributeError):
        return None

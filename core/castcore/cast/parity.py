"""Systematic Cauchy Reed-Solomon parity over GF(2^8), polynomial 0x11d.

Parity row ``p`` of a stripe is the sum over its source rows ``j`` of ``COEFFICIENTS[p][j] * row[j]``;
row 0 is their plain XOR. Any ``e`` parity rows repair any ``e`` lost rows. Bulk arithmetic is ISA-L's
where that is installed, else by bit planes in numpy, with the same answers.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from castcore.cast import isal
from castcore.cast.constants import PARITY_ROWS, SOURCE_ROWS, STRIPES_MAX

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_POLYNOMIAL = 0x11D


def _tables() -> tuple[Bytes, NDArray[np.int64]]:
    exponent = np.zeros(510, np.uint8)
    logarithm = np.zeros(256, np.int64)
    value = 1
    for power in range(255):
        exponent[power] = exponent[power + 255] = value
        logarithm[value] = power
        value = (value << 1) ^ (_POLYNOMIAL if value & 0x80 else 0)
    return exponent, logarithm


_EXP, _LOG = _tables()


def multiply(a: Bytes, b: Bytes) -> Bytes:
    """The product in GF(2^8), elementwise with broadcasting."""
    product = _EXP[_LOG[a] + _LOG[b]]
    return np.where((a == 0) | (b == 0), np.uint8(0), product)


def inverse(a: Bytes) -> Bytes:
    """The multiplicative inverse of each (non-zero) element."""
    return _EXP[255 - _LOG[a]]


def _coefficients() -> Bytes:
    source = np.arange(SOURCE_ROWS, dtype=np.uint8)
    parity = np.arange(SOURCE_ROWS, SOURCE_ROWS + PARITY_ROWS, dtype=np.uint8)[:, None]
    # Cauchy's 1 / (x_p + y_j), every column scaled so that row 0 is all ones.
    return multiply(inverse(parity ^ source), np.uint8(SOURCE_ROWS) ^ source)


COEFFICIENTS = _coefficients()

_NATIVE = isal.load()

# Lost rows of a stripe that parity shall repair; a block that lacks more is sent again. Some rows are
# kept for parity that gets lost itself; without ISA-L the arithmetic costs more than the bytes would.
REPAIR_MAX = 56 if _NATIVE else 24
# Parity rows to compute at once: reading the source rows is most of what the native arithmetic costs.
PARITY_STEP = 4 if _NATIVE else 1
# From so many lost stripes of a block on it is cheaper to read all of its symbols in one go; in numpy,
# where arithmetic is all that costs, never.
TOGETHER_MIN = 4 if _NATIVE else STRIPES_MAX + 1


def combine(matrix: Bytes, rows: Bytes) -> Bytes:
    """The matrix product over GF(2^8): (m, k) coefficients by (k, size) rows gives (m, size) rows.

    In numpy alone: a coefficient is a sum of powers of two, so each result is eight XORs of subsets
    of the rows, doubled together (Horner). ``size`` must be a multiple of 8.
    """
    words = np.ascontiguousarray(rows).view(np.uint64)
    out = np.zeros((len(matrix), rows.shape[1]), np.uint8)
    for result, factors in zip(out, matrix, strict=True):
        if (factors == 1).all():
            np.bitwise_xor.reduce(words, axis=0, out=result.view(np.uint64))
            continue
        for bit in range(7, -1, -1):
            _double(result)
            chosen = words[(factors >> bit & 1).astype(bool)]
            if len(chosen):
                result.view(np.uint64)[:] ^= np.bitwise_xor.reduce(chosen, axis=0)
    return out


def encode(rows: Bytes, parity: Ints, known: Ints | None = None) -> Bytes:
    """The parity rows with these numbers (0..63) of a stripe's source ``rows`` (k, size).

    Rows not in ``known`` (None: all) count as zeros.
    """
    columns = np.arange(len(rows)) if known is None else known
    matrix = COEFFICIENTS[parity][:, columns]
    if _NATIVE is not None:
        return _NATIVE.product(matrix, rows, known)
    return combine(matrix, rows if known is None else rows[known])


def encode_block(symbols: Bytes, stripes: int, parity: Ints) -> Bytes:
    """The parity rows numbered ``parity`` of all ``stripes`` of a block: (parity, stripes, size).

    ``symbols`` is (count, size): symbol ``i`` is row ``i // stripes`` of stripe ``i % stripes``, so that
    a row of all stripes is one long row. Symbols that are all zeros count for nothing.
    """
    count, size = symbols.shape
    if _NATIVE is None:
        symbols = np.ascontiguousarray(symbols)
    step = symbols.strides[0]
    out = np.zeros((len(parity), stripes * step), np.uint8)
    for first, width in ((0, stripes), (count // stripes, count % stripes)):
        rows = count // stripes if width == stripes else 1
        if not rows or not width:
            continue
        # From the first symbol's first byte to the last one's last, with whatever stands between them.
        length = (width - 1) * step + size
        whole = as_strided(symbols[first * stripes :], (rows, length), (stripes * step, 1))
        matrix = COEFFICIENTS[parity][:, first : first + rows]
        part = combine(matrix, whole) if _NATIVE is None else _NATIVE.product(matrix, whole, None)
        out[:, :length] ^= part
    return out.reshape(len(parity), stripes, step)[:, :, :size]


def repair(rows: Bytes, lost: Ints, parity: Ints, given: Bytes) -> Bytes:
    """The ``lost`` source rows of a stripe, from its other rows and as many parity rows.

    ``rows`` is (k, size); what stands in its lost rows is ignored. ``given`` holds the parity rows
    numbered ``parity``, exactly as many as are lost.
    """
    there = np.ones(len(rows), np.bool_)
    there[lost] = False
    return solve(lost, parity, encode(rows, parity, np.flatnonzero(there)) ^ given)


def solve(lost: Ints, parity: Ints, syndromes: Bytes) -> Bytes:
    """The ``lost`` rows, from what the rows that are there leave of the ``parity`` rows."""
    if len(lost) == 1 and parity[0] == 0:
        return syndromes
    solved = COEFFICIENTS[parity][:, lost]
    if _NATIVE is not None:
        return _NATIVE.product(_NATIVE.invert(solved), syndromes, None)
    return combine(invert(solved), syndromes)


def invert(matrix: Bytes) -> Bytes:
    """The inverse of a square matrix over GF(2^8), by Gauss and Jordan.

    Raises ValueError when there is none (never for a submatrix of COEFFICIENTS).
    """
    size = len(matrix)
    work = np.concatenate((matrix, np.eye(size, dtype=np.uint8)), axis=1)
    for column in range(size):
        candidates = np.flatnonzero(work[column:, column])
        if not len(candidates):
            raise ValueError("a singular matrix")
        pivot = column + int(candidates[0])
        work[[column, pivot]] = work[[pivot, column]]
        work[column] = multiply(work[column], inverse(work[column, column : column + 1]))
        factors = work[:, column].copy()
        factors[column] = 0
        work ^= multiply(factors[:, None], work[column])
    return work[:, size:]


def _double(row: Bytes) -> None:
    """Multiply ``row`` by 2 in place."""
    carry = row >> 7
    np.left_shift(row, 1, out=row)
    row ^= carry * np.uint8(_POLYNOMIAL & 0xFF)

"""DATA datagrams as numpy columns: one structured array per burst, no per-packet Python.

A burst is up to 45 datagrams of one size, back to back, as GSO takes them and GRO gives them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from castcore.cast.constants import HEADER_SIZE, SYMBOL_SIZE, VERSION
from castcore.errors import BadPacket

DATA_TYPE = VERSION << 4 | 1

FLAG_PARITY = 1
FLAG_REPAIR = 2
FLAG_LAP = 4
FLAG_TAGGED = 16

# The 28 header bytes: big-endian, in wire order.
HEADER = np.dtype(
    [
        ("vt", "u1"),  # version 1 in the high nibble, type 1 in the low one
        ("flags", "u1"),  # FLAG_*
        ("stream", "u1"),  # 0: the main stream
        ("selection", "u1"),  # the selection whose block table this is of
        ("session", ">u4"),
        ("block", ">u4"),  # index in the block table
        ("stripe", "u1"),
        ("row", "u1"),  # 0..191 source row, 192..255 parity row
        ("symbols", ">u2"),  # source symbols of this block, as a check
        ("pseq", ">u4"),  # counts the stream's packets; wraps
        ("tag", ">u8"),  # of casts with a MAC (`protection.py`), else 0
    ]
)

Headers = NDArray[np.void]
Symbols = NDArray[np.uint8]


def datagram(symbol_size: int = SYMBOL_SIZE) -> np.dtype[Any]:
    """The layout of one whole DATA datagram."""
    return np.dtype([("header", HEADER), ("symbol", "u1", (symbol_size,))])


def split(burst: memoryview, symbol_size: int = SYMBOL_SIZE) -> tuple[Headers, Symbols]:
    """The header columns and the symbols of a burst of DATA datagrams, without copying.

    Raises BadPacket when it is not a whole number of them.
    """
    size = HEADER_SIZE + symbol_size
    if not len(burst) or len(burst) % size:
        raise BadPacket(f"{len(burst)} bytes are no whole number of {size}-byte data packets")
    packets = np.frombuffer(burst, datagram(symbol_size))
    return packets["header"], packets["symbol"]

"""What a sender's core wants sent: bursts of symbols, control datagrams, or nothing for a while."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceBurst:
    """Send source symbols ``first`` to ``first + count`` of ``block``, numbered from ``pseq``."""

    block: int
    first: int
    count: int
    flags: int
    pseq: int


@dataclass(frozen=True, slots=True)
class ParityBurst:
    """Send these parity rows (192..255) of these stripes of ``block``, numbered from ``pseq``."""

    block: int
    stripes: NDArray[np.uint8]
    rows: NDArray[np.uint8]
    flags: int
    pseq: int


@dataclass(frozen=True, slots=True)
class Control:
    """Send this datagram to the group."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send for so many seconds."""

    seconds: float


Output = SourceBurst | ParityBurst | Control | Wait

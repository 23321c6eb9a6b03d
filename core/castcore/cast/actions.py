"""What a receiver's core wants done: each a value, each answered by the call its words name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Copy the burst's symbols ``picks`` to rows ``rows`` of the buffer of ``block``."""

    block: int
    picks: Ints
    rows: Ints


@dataclass(frozen=True, slots=True)
class Send:
    """Send this datagram to the sender's feedback address."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Deliver:
    """Bytes ``start`` to ``start + length`` of the block's buffer are ``chunk``: answer `on_put`."""

    block: int
    chunk: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Repair:
    """Compute the ``lost`` source rows of a stripe from parity rows (0..63): answer `on_repaired`."""

    block: int
    stripe: int
    lost: Ints
    parity: Ints


@dataclass(frozen=True, slots=True)
class Release:
    """The buffer of ``block`` is no longer needed."""

    block: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get ``chunk`` by unicast: answer `on_fetched`."""

    chunk: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Get the symbol digests of ``block`` by TLS: answer `on_vetted`, or `on_unvetted`."""

    block: int


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Nothing is heard of the sender: join again until it answers, then `on_joined`."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Every chunk was put: make them durable, then `on_flushed`."""


Action = Send | Deliver | Repair | Release | Fetch | Ask | Rejoin | Flush

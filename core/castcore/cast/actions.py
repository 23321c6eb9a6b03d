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
    """Get the symbol digests of a selection's ``block``: answer `on_vetted`, or `on_unvetted`."""

    selection: int
    block: int


@dataclass(frozen=True, slots=True)
class Select:
    """Get the chunks of selection ``number``, whose digest this is: answer `on_selected`."""

    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Membership:
    """Be in the group, or leave it, so that a snooping switch stops sending its traffic to us."""

    joined: bool


@dataclass(frozen=True, slots=True)
class LookForLeak:
    """See whether the group's traffic still reaches this host although it left: answer `on_leak`."""


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Join again, saying what is held, until the server answers; then `on_joined`."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Every chunk was put: make them durable, then `on_flushed`."""


Regroup = Membership | LookForLeak | Rejoin
Action = Send | Deliver | Repair | Release | Fetch | Ask | Select | Flush | Regroup

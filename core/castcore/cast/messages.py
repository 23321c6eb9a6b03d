"""What servers and clients of a cast say beside data: one frozen value for each kind of datagram."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from castcore.cast.chunkset import DIGEST_SIZE as SELECTION_SIZE
from castcore.cast.states import ClientClass, Place, SenderState


class PacketType(IntEnum):
    """The low nibble of a datagram's first byte."""

    DATA = 1
    BEACON = 2
    FEEDBACK = 3
    BITMAP = 7
    MOVE = 8
    FIN = 10
    FIN_ACK = 11
    ABORT = 13


class FeedbackFlag(IntFlag):
    """What a client says of itself beside numbers."""

    LEAK = 1
    SHEDDING = 2
    HDD = 4


@dataclass(frozen=True, slots=True)
class StripeCounts:
    """Symbols per stripe of one block: needed (in feedback), or queued (in a beacon)."""

    block: int
    counts: bytes


@dataclass(frozen=True, slots=True)
class Beacon:
    """Where the sender is. ``closed``: the source symbols of all lower blocks are out in this lap.

    ``rate`` 0: the cast is paused, and clients wait.
    ``selection`` is the number of the chunks that travel now, with their digest (0: all of them).
    """

    session: int
    number: int
    state: SenderState
    time_us: int
    pseq: int
    head: int
    closed: int
    lap: int
    clients: int
    rate: int
    feedback_ms: int
    status_ms: int
    adverts: tuple[StripeCounts, ...] = ()
    selection: int = 0
    selection_digest: bytes = bytes(SELECTION_SIZE)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A client's state: counters since it joined, and what its closed blocks need.

    Blocks are those of ``selection``, the last one it knows; ``chunks`` counts what it holds in all.
    """

    client: int
    session: int
    number: int
    kind: ClientClass
    flags: FeedbackFlag
    echo_time_us: int
    echo_delay_us: int
    seen: int
    received: int
    net_lost: int
    host_drop: int
    shed_blocks: int
    have_blocks: int
    chunks: int
    buffer_mib: int = 0
    disk_mbps: int = 0
    nacks: tuple[StripeCounts, ...] = ()
    selection: int = 0


@dataclass(frozen=True, slots=True)
class Bitmap:
    """Blocks of ``selection`` that a client wants sent again.

    Bit ``i`` of ``bits`` (lowest first) is block ``base + i``.
    """

    client: int
    session: int
    number: int
    kind: ClientClass
    seen: int
    base: int
    count: int
    bits: bytes
    selection: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """Where a client shall be: the answer to its feedback ``number``."""

    client: int
    session: int
    number: int
    place: Place


@dataclass(frozen=True, slots=True)
class Fin:
    """A client has every chunk; ``root`` is the image's root it proved them against.

    ``seed_port``: the TCP port where others get chunks from it, 0 for none.
    """

    client: int
    session: int
    number: int
    root: bytes
    seed_port: int = 0


@dataclass(frozen=True, slots=True)
class FinAck:
    """The sender has heard a client's FIN."""

    client: int
    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Abort:
    """The cast was stopped by the operator."""

    session: int


ServerWord = Beacon | Move | FinAck | Abort

"""Every number of cast protocol version 1, with its unit and its reason (PROTOCOL.md, "Constants")."""

from __future__ import annotations

VERSION = 1

# 28 + 1424 = 1452 bytes of UDP payload: fits IPv4 and IPv6 with a VLAN tag at an MTU of 1500.
# 28 + 8912 = 8940 bytes: the same at 9000, which every switch means by jumbo frames.
HEADER_SIZE = 28
SYMBOL_SIZE = 1424
JUMBO_SYMBOL_SIZE = 8912
SYMBOL_SIZES = (SYMBOL_SIZE, JUMBO_SYMBOL_SIZE)
DATAGRAM_SIZE = HEADER_SIZE + SYMBOL_SIZE

# GF(2^8) has 256 points: 192 source rows and 64 parity rows per stripe.
SOURCE_ROWS = 192
PARITY_ROWS = 64
STRIPES_MAX = 16
# Bytes of the largest block, whatever the symbols' size: 192 rows of 16 stripes, or 164 of 3 jumbo ones.
BLOCK_MAX = SYMBOL_SIZE * SOURCE_ROWS * STRIPES_MAX

# One GSO send or GRO receive holds at most 64 KiB of UDP payload: 45 datagrams, or 7 jumbo ones.
BURST_BYTES_MAX = 45 * DATAGRAM_SIZE
BURST_BYTES_MIN = 8 * DATAGRAM_SIZE
# Above 130 MB/s the half millisecond of a burst holds more than one such send: at most four between two
# looks at the clock, which is as often as Python can look at 500 MB/s.
RUN_BYTES_MAX = 4 * BURST_BYTES_MAX

BEACON_SECONDS = 0.1
REORDER_GUARD_SECONDS = 0.01
FEEDBACK_SECONDS = 0.1
FEEDBACK_JITTER = 0.2
STATUS_SECONDS_MIN = 0.1
STATUS_SECONDS_START = 0.02
BITMAP_REPEAT_SECONDS = 1.0
GONE_SECONDS = 10.0
LINGER_SECONDS = 1.0
# The last to join starts the cast, while the answer that lets it listen is still on its way: until it
# has spoken, for so long.
SETTLE_SECONDS = 0.05
SILENT_SECONDS = 5.0
HEAR_SECONDS = 3.0
# A client apart from the group speaks so often; so long after it left, it looks whether that helped.
APART_STATUS_SECONDS = 0.5
LEAK_SECONDS = 3.0

NACKS_MAX = 60
ADVERTS_SIZE_MAX = 1000
BITMAP_BITS_MAX = 8 * 1280

# A client whose holes laps served this often while no packet reached it does not hear us.
FRUITLESS_LAPS_MAX = 3

FIN_RETRY_SECONDS = (0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0)


def feedback_seconds(clients: int) -> float:
    """The feedback period of a group of ``clients``: at most 2,500 datagrams a second in all."""
    return min(max(clients / 2000, FEEDBACK_SECONDS), 1.0)


def status_seconds(clients: int, *, starting: bool) -> float:
    """The period of feedback that asks for nothing: the rate follows it, 250 a second in all."""
    return max(clients / 250, STATUS_SECONDS_START if starting else STATUS_SECONDS_MIN)

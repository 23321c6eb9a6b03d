"""When the next burst may leave: a token bucket, and how many datagrams make a burst.

Rates are bytes a second of UDP payload; times are seconds of the caller's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from castcore.cast.constants import BURST_BYTES_MIN, RUN_BYTES_MAX

# A switch port that is slower than ours holds about this long a burst of its own rate.
BURST_DEPTH = 0.005
# Sleeping overshoots by milliseconds on a busy machine: what was missed follows, a quarter faster.
DEBT_DEPTH = 0.1
CATCH_UP = 1.25
WAITS_MIN = 0.05
BURST_SECONDS = 0.0005


@dataclass
class TokenBucket:
    """Tells when the next burst may leave. Sending is allowed while neither account is negative.

    ``tokens`` hold the average to the rate, over a tenth of a second; ``peak`` holds what follows a
    pause to a quarter more, so that it is no flood.
    """

    tokens: float = 0.0
    peak: float = 0.0
    filled: float | None = None
    bursts: int = 0
    waits: int = 0

    def wait(self, now: float, rate: float) -> float:
        """Seconds until the next burst may leave; 0 for at once."""
        if self.filled is not None:
            passed = max(now - self.filled, 0.0)
            self.tokens += passed * rate
            self.peak += passed * rate * CATCH_UP
        self.tokens = min(self.tokens, max(rate * DEBT_DEPTH, BURST_BYTES_MIN))
        self.peak = min(self.peak, max(rate * BURST_DEPTH, BURST_BYTES_MIN))
        self.filled = now
        # Less than a byte is no debt: waiting for it may be too short to move the clock at all.
        pause = max(-self.tokens / rate, -self.peak / (rate * CATCH_UP))
        if pause * rate <= 1:
            return 0.0
        self.waits += 1
        return pause

    def spend(self, size: int) -> None:
        """``size`` bytes were sent."""
        self.tokens -= size
        self.peak -= size
        self.bursts += 1

    def limits(self) -> bool:
        """Whether the rate, not the sender's own speed or its link, set the pace since the last call."""
        waited, self.waits, self.bursts = self.waits > WAITS_MIN * self.bursts, 0, 0
        return waited

    def rest(self) -> None:
        """There was nothing to send: that time is not made up for."""
        self.tokens = min(self.tokens, 0.0)


def burst_packets(rate: float, datagram_size: int) -> int:
    """Datagrams to send back to back: half a millisecond's worth, so that switch queues survive."""
    size = max(BURST_BYTES_MIN, min(RUN_BYTES_MAX, rate * BURST_SECONDS))
    return max(int(size / datagram_size), 1)

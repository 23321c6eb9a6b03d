"""What many simulated clients did, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What all of them did; times in seconds."""

    reports: int = 0
    feedback: int = 0
    fins: int = 0
    done: int = 0
    took: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def note(self, what: str, began: float) -> None:
        self.took.setdefault(what, []).append(time.monotonic() - began)

    def figures(self) -> dict[str, Any]:
        return {
            "reports": self.reports,
            "feedback": self.feedback,
            "fins": self.fins,
            "done": self.done,
            "failed": self.failed[:5],
            "failures": len(self.failed),
            "seconds": {what: percentiles(times) for what, times in self.took.items()},
        }


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and the longest."""
    ordered = sorted(times)
    figures = {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 4)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("most", 1.0))
    }
    return {**figures, "count": len(ordered)}

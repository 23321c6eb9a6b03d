"""The rates of a cast as a picture: lines and areas of an SVG, in a frame of fixed size. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from castserver.casts.castrates import RateSample

WIDTH, HEIGHT = 900, 190
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 10, 26
# Steps between lines of the grid are 1, 2 or 5 times a power of ten.
STEPS = (1, 2, 5, 10)
MOST_LINES = 4
MOST_TIMES = 6
NICE_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the grid: where it lies, and what it stands for."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """``fresh`` and ``repair`` are areas, the second on top of the first; ``goodput`` is a line."""

    fresh: str
    repair: str
    goodput: str
    rates: tuple[Line, ...]
    times: tuple[Line, ...]
    last: RateSample


def chart(samples: Sequence[RateSample]) -> Chart | None:
    """The picture of ``samples``; None of fewer than two."""
    if len(samples) < 2:
        return None
    top = max(max(s.fresh + s.repair, s.goodput) for s in samples)
    step = _step(max(top, 1) / 1e6) * 1e6
    ceiling = step * max(-(-max(top, 1) // step), 1)
    begin, seconds = samples[0].at, max(samples[-1].at - samples[0].at, 1.0)

    def x(sample: RateSample) -> float:
        return round(LEFT + (sample.at - begin) / seconds * (WIDTH - LEFT - RIGHT), 1)

    def y(rate: float) -> float:
        return round(HEIGHT - BOTTOM - rate / ceiling * (HEIGHT - TOP - BOTTOM), 1)

    def line(rate: Callable[[RateSample], float]) -> list[str]:
        return [f"{x(s):g},{y(rate(s)):g}" for s in samples]

    fresh, both = line(lambda s: s.fresh), line(lambda s: s.fresh + s.repair)
    floor = [f"{x(samples[-1]):g},{y(0):g}", f"{x(samples[0]):g},{y(0):g}"]
    return Chart(
        fresh=" ".join([*fresh, *floor]),
        repair=" ".join([*both, *reversed(fresh)]),
        goodput=" ".join(line(lambda s: s.goodput)),
        rates=tuple(Line(y(n * step), n * step) for n in range(int(ceiling / step) + 1)),
        times=tuple(
            Line(round(LEFT + (t - begin) / seconds * (WIDTH - LEFT - RIGHT), 1), t)
            for t in _times(begin, begin + seconds)
        ),
        last=samples[-1],
    )


def _step(top: float) -> float:
    """The step of a grid of at most MOST_LINES lines up to ``top``."""
    power = 1.0
    while power * 10 * MOST_LINES < top:
        power *= 10
    while power * MOST_LINES > top * 10:
        power /= 10
    return next(power * n for n in STEPS if power * n * MOST_LINES >= top)


def _times(begin: float, end: float) -> list[int]:
    """The moments to be named, in seconds since the cast's first."""
    step = next((s for s in NICE_SECONDS if (end - begin) / s <= MOST_TIMES), NICE_SECONDS[-1])
    first = -(-int(begin) // step) * step
    return list(range(first, int(end) + 1, step))

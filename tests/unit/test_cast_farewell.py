"""A receiver's last words: spread over a large group, repeated, and not for ever."""

from __future__ import annotations

import numpy as np
from castcore.cast.constants import FIN_RETRY_SECONDS
from castcore.cast.farewell import FINS_A_SECOND, Farewell
from castcore.cast.values import JoinAnswer

ANSWER = JoinAnswer(3, b"k" * 32, 0)
ROOT = b"r" * 32


def first_word(jitter: float, clients: int) -> float:
    """Seconds from the last chunk to the first FIN."""
    farewell = Farewell(ROOT, jitter)
    assert farewell.flush(100.0, clients)
    return next(t for t in np.arange(0, 10, 0.001) if farewell.due(100.0 + t))


def test_a_large_group_does_not_speak_at_once_a_small_one_does() -> None:
    assert max(first_word(j, 4) for j in (0.0, 0.5, 1.0)) <= 0.01
    words = [first_word(j, 2000) for j in np.linspace(0, 1, 21)]
    assert np.histogram(words, bins=np.arange(0, 5, 0.5))[0].max() <= 0.5 * FINS_A_SECOND / 2000 * 21 + 2


def test_it_is_said_until_it_was_said_often_enough() -> None:
    farewell, now, said = Farewell(ROOT, 0.5), 0.0, 0
    assert farewell.flush(now, 1)
    assert not farewell.flush(now, 1), "everything is made durable once"
    while not farewell.over:
        now += 0.01
        if farewell.due(now):
            assert farewell.say(now, 7, ANSWER)
            said += 1
    assert said == len(FIN_RETRY_SECONDS)
    assert now < sum(FIN_RETRY_SECONDS)

"""Parallel work in order: results, errors, bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from castcore.edge.inorder import AHEAD_PER_THREAD, in_order, thread_count


def test_results_come_in_the_order_of_the_items() -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            gate.wait(5)
        if item == 1:
            gate.set()
        return item * item

    assert list(in_order(work, range(50), threads=4)) == [n * n for n in range(50)]


def test_an_error_comes_in_its_place_and_ends_the_work() -> None:
    def work(item: int) -> int:
        return 10 // (3 - item)

    results = in_order(work, range(1000), threads=2)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_only_so_many_items_are_taken_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield n

    with closing(in_order(lambda n: n, items(), threads=2)) as results:
        assert next(results) == 0
        assert taken == 2 * AHEAD_PER_THREAD
    assert [t for t in threading.enumerate() if t.name.startswith("chunk")] == []


def test_there_are_always_two_threads() -> None:
    assert thread_count() >= 2

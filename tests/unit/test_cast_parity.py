"""GF(2^8) and the Cauchy Reed-Solomon code, against the textbook definitions."""

from __future__ import annotations

import numpy as np
import pytest
from castcore.cast import isal, parity


@pytest.fixture(params=["isal", "numpy"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test that asks for this runs with ISA-L and without."""
    if request.param == "numpy":
        monkeypatch.setattr(parity, "_NATIVE", None)
    else:
        assert parity._NATIVE is not None, "libisal2 is in tools/packages.txt: run `make setup`"


def slow_multiply(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def test_multiplication_is_that_of_the_polynomial() -> None:
    values = np.arange(256, dtype=np.uint8)
    table = parity.multiply(values[:, None], values)
    assert all(table[a, b] == slow_multiply(a, b) for a in range(256) for b in range(0, 256, 5))


def test_inverse() -> None:
    values = np.arange(1, 256, dtype=np.uint8)
    assert (parity.multiply(values, parity.inverse(values)) == 1).all()


@pytest.mark.usefixtures("arithmetic")
def test_row_zero_is_plain_xor() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (50, 64), dtype=np.uint8)
    assert (parity.encode(rows, np.array([0]))[0] == np.bitwise_xor.reduce(rows, axis=0)).all()


@pytest.mark.usefixtures("arithmetic")
def test_encoding_is_the_sum_of_products() -> None:
    rows = np.random.default_rng(2).integers(0, 256, (9, 16), dtype=np.uint8)
    got = parity.encode(rows, np.array([5]))[0]
    for column in range(16):
        expected = 0
        for j in range(9):
            inverted = int(parity.inverse(np.array([197 ^ j], np.uint8))[0])
            coefficient = slow_multiply(inverted, 192 ^ j)
            expected ^= slow_multiply(coefficient, int(rows[j, column]))
        assert got[column] == expected


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize(("k", "e"), [(1, 1), (2, 2), (7, 3), (64, 10), (128, 24), (185, 37), (192, 64)])
def test_any_lost_rows_come_back_from_any_parity_rows(k: int, e: int) -> None:
    random = np.random.default_rng(k * 100 + e)
    rows = random.integers(0, 256, (k, 32), dtype=np.uint8)
    lost = np.sort(random.permutation(k)[:e])
    chosen = np.sort(random.permutation(64)[:e])
    given = parity.encode(rows, chosen)
    damaged = rows.copy()
    damaged[lost] = 0xAA
    assert (parity.repair(damaged, lost, chosen, given) == rows[lost]).all()
    assert (damaged[lost] == 0xAA).all(), "the caller's rows were changed"


def test_a_singular_matrix_has_no_inverse() -> None:
    with pytest.raises(ValueError, match="singular"):
        parity.invert(np.ones((2, 2), np.uint8))
    with pytest.raises(ValueError, match="singular"):
        isal.Isal().invert(np.ones((2, 2), np.uint8))


def test_both_arithmetics_agree_on_interleaved_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    block = np.random.default_rng(7).integers(0, 256, (3000, 1424), dtype=np.uint8)
    stripe, known, numbers = block[3::16], np.arange(0, 188, 3), np.array([0, 7, 63])
    native = parity.encode(stripe, numbers, known)
    monkeypatch.setattr(parity, "_NATIVE", None)
    assert (parity.encode(stripe, numbers, known) == native).all()


@pytest.mark.parametrize(
    ("count", "stripes"), [(3000, 16), (3072, 16), (190, 1), (7, 16), (491, 3), (1, 1)]
)
@pytest.mark.usefixtures("arithmetic")
def test_a_blocks_parity_is_that_of_each_of_its_stripes(count: int, stripes: int) -> None:
    packets = np.random.default_rng(count).integers(0, 256, (count, 60), dtype=np.uint8)
    for symbols in (packets[:, 28:], np.ascontiguousarray(packets[:, 28:])):
        numbers = np.array([0, 1, 5, 63])
        whole = parity.encode_block(symbols, stripes, numbers)
        assert whole.shape == (len(numbers), stripes, 32)
        for stripe in range(min(stripes, count)):
            rows = np.ascontiguousarray(symbols[stripe::stripes])
            assert (whole[:, stripe] == parity.encode(rows, numbers)).all()


def test_without_the_library_there_is_still_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isal.Isal.__init__, "__defaults__", ("libnosuch.so.9",))
    assert isal.load() is None

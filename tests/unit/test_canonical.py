"""Canonical JSON: one value, one encoding; hostile bytes fail one way."""

from __future__ import annotations

from typing import Any

import pytest
from castcore import canonical
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_a_value_survives_and_has_one_encoding(value: Any) -> None:
    data = canonical.encode(value)
    assert canonical.decode(data, limit=len(data)) == value
    assert canonical.encode(canonical.decode(data, limit=len(data))) == data


@given(
    st.binary(max_size=64) | st.sampled_from([b"1.5", b"NaN", b'{"a":1e3}', b"[" * 5000, b"9" * 5000])
)
def test_hostile_bytes_raise_bad_packet_only(data: bytes) -> None:
    try:
        canonical.decode(data, limit=10_000)
    except BadPacket:
        return
    canonical.encode(canonical.decode(data, limit=10_000))


def test_a_value_over_its_limit_is_refused_unread() -> None:
    with pytest.raises(BadPacket, match="over its limit"):
        canonical.decode(b"[1]", limit=2)


@pytest.mark.parametrize("value", [1.5, {1: 2}, {"a": b"x"}])
def test_our_own_mistakes_are_type_errors(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical.encode(value)

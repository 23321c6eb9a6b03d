"""Settings of a medium, whatever somebody has written there: read, or refused by one error."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from castcore.bootsettings import BadSettings, BootSettings, from_values, parse
from hypothesis import given
from hypothesis import strategies as st

NAMES = list(BootSettings.__dataclass_fields__)
VALUES = st.one_of(
    st.text(),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.lists(st.text()),
    st.datetimes(),
    st.dictionaries(st.text(), st.text()),
    st.sampled_from(
        ["192.0.2.7/24", "::1/128", "https://[::1]:8443", "https://%", "ttyS0", "start.d/x", "de", "ja"]
    ),
)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadSettings):
        parse(text)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_what_is_taken_is_written_and_read_alike(values: dict[str, Any]) -> None:
    with suppress(BadSettings):
        settings = from_values(values)
        assert parse(settings.encode()) == settings


def test_a_deep_nest_is_refused() -> None:
    with pytest.raises(BadSettings, match="no TOML"):
        parse("address = " + "[" * 30_000)

"""The client's screen, line by line, as it was looked at and found good."""

from __future__ import annotations

import pytest

from tests.golden.clientscreens import FOLDER, shown

SHOWN = shown()


@pytest.mark.parametrize("name", SHOWN)
def test_the_screen_is_the_golden_one(name: str) -> None:
    assert SHOWN[name] == (FOLDER / name).read_text()


def test_every_golden_screen_is_shown() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SHOWN)

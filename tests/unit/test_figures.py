"""What tests measured is told with the test's name."""

from __future__ import annotations

import pytest

from tests.support.figures import tell, told


def test_a_figure_is_told_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    print("words")
    tell(rate=3, kinds={"a": 1})
    print('CASE {"seconds": 2}')
    said = capsys.readouterr().out
    assert list(told([("tests/x.py::test", said), ("tests/y.py::test", "words")])) == [
        'tests/x.py::test: {"rate": 3, "kinds": {"a": 1}}',
        'tests/x.py::test: {"seconds": 2}',
    ]

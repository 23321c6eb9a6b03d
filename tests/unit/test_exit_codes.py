"""docs/exit-codes.md says what castcore.errors does."""

from __future__ import annotations

import re
from pathlib import Path

from castcore import errors
from castcore.errors import ExitCode, FleetcastError, NotFound

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/exit-codes.md"
ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \| \S", re.MULTILINE)


def test_the_table_is_the_enum() -> None:
    table = [(int(code), name) for code, name in ROW.findall(DOCUMENT.read_text())]
    assert table == [(code.value, code.name) for code in ExitCode]


def test_every_error_has_a_code_of_failure() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FleetcastError)]
    assert len(kinds) > 10
    assert all(k.exit_code not in (ExitCode.OK, ExitCode.USAGE) for k in kinds)


def test_every_kind_of_error_says_what_to_do_next() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FleetcastError)]
    assert [k for k in kinds if k is not FleetcastError and not k("it broke").hint] == []
    assert NotFound("it is gone", hint="look elsewhere").hint == "look elsewhere"

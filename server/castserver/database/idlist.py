"""A list of ids in a question to the database as one value: there may be more than it takes values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, String, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class _Texts(GenericFunction[str]):
    """The texts of a JSON array, as rows with the column ``value``."""

    inherit_cache = True
    type = String()


@compiles(_Texts, "sqlite")
def _sqlite(element: _Texts, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Texts, "postgresql")
def _postgresql(element: _Texts, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSON))"


def ids(these: Iterable[str]) -> Select[Any]:
    """``these``, for ``column.in_()``."""
    return select(_Texts(literal(json.dumps(list(these)))).table_valued("value").c.value)

"""Rows of the server's tables of which a test cares for some columns alone."""

from __future__ import annotations

from typing import Any, TypeVar

from castserver.database.tables import Base
from sqlalchemy import JSON, BigInteger, Boolean, Integer, LargeBinary, String

RowT = TypeVar("RowT", bound=Base)
EMPTY: dict[type, Any] = {
    String: "",
    Boolean: False,
    Integer: 0,
    BigInteger: 0,
    JSON: {},
    LargeBinary: b"",
}


def row(kind: type[RowT], **known: Any) -> RowT:
    """One of ``kind``; what is not ``known`` is empty."""
    empty = {c.key: None if c.nullable else EMPTY[type(c.type)] for c in kind.__table__.columns}
    return kind(**{**empty, **known})

"""Many rows written at once: a few statements for all, where row after row takes two for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import insert, inspect, select, tuple_, update
from sqlalchemy.orm import Session

from castserver.database.tables import Base

# Of fewer rows of a table each is merged by itself.
MANY = 10
# Keys in a question, which may have some thousand values.
AT_ONCE = 500
Key = tuple[Any, ...]


def merge(session: Session, rows: Sequence[Base]) -> None:
    """Insert or update ``rows``, in order; many of them by tables, each where its first row is."""
    tables: dict[type[Base], list[Base]] = defaultdict(list)
    for row in rows:
        tables[type(row)].append(row)
    if all(len(own) < MANY for own in tables.values()):
        for row in rows:
            session.merge(row)
        return
    session.flush()
    for table, own in tables.items():
        _merge_all(session, table, own)


def _merge_all(session: Session, table: type[Base], rows: Sequence[Base]) -> None:
    wanted: dict[Key, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        state = inspect(row)
        given = set(state.mapper.column_attrs.keys()) & state.dict.keys()
        key = tuple(state.mapper.primary_key_from_instance(row))
        wanted[key] |= {name: state.dict[name] for name in given}
    known = set(_known(session, table, list(wanted)))
    new = [values for key, values in wanted.items() if key not in known]
    if new:
        session.execute(insert(table), new)
    if known:
        session.execute(update(table), [wanted[key] for key in known])


def _known(session: Session, table: type[Base], keys: Sequence[Key]) -> Iterator[Key]:
    """Those of ``keys`` that there are rows of."""
    columns = inspect(table).primary_key
    for at in range(0, len(keys), AT_ONCE):
        some = keys[at : at + AT_ONCE]
        one = len(columns) == 1
        chosen = columns[0].in_([key[0] for key in some]) if one else tuple_(*columns).in_(some)
        for row in session.execute(select(*columns).where(chosen)):
            yield tuple(row)

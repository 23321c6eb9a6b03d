"""Which entries of the audit log somebody wants to see, as conditions in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import or_
from sqlalchemy.sql.elements import ColumnElement

from castserver.database.tables import AuditRow


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """What is left out chooses all. Times are Unix seconds, ``before`` is the first second after."""

    who: str = ""
    text: str = ""
    failed: bool = False
    since: int | None = None
    before: int | None = None


def conditions(question: AuditQuestion) -> Iterator[ColumnElement[bool]]:
    """What must hold of an entry."""
    if question.who:
        yield AuditRow.who == question.who
    if question.failed:
        yield AuditRow.outcome != ""
    if question.since is not None:
        yield AuditRow.time >= question.since
    if question.before is not None:
        yield AuditRow.time < question.before
    if question.text:
        searched = (AuditRow.who, AuditRow.address, AuditRow.action, AuditRow.detail, AuditRow.outcome)
        yield or_(*(one.icontains(question.text, autoescape=True) for one in searched))

"""The calls about the audit log; nothing changes it."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from castserver.access import Parts, admin_routes
from castserver.auditlog import MOST_READ
from castserver.viewbase import View

routes = admin_routes("audit", "/audit")


class EntryView(View):
    """Somebody did something, or tried to."""

    number: int
    time: int = Field(description="Unix seconds")
    who: str = Field(description="a user, `token NAME`, or `server`")
    role: str
    address: str
    action: str = Field(description="what was called")
    detail: str = Field(description="what was asked for, as JSON, secrets masked")
    outcome: str = Field(description="empty: done; else why not")


class Proof(View):
    """Whether the log is as it was written."""

    entries: int = Field(description="the number of the newest entry")
    broken: int | None = Field(description="the first entry that was changed or is missing; null: none")


@routes.get("", summary="Who did what")
def show_audit(
    parts: Parts,
    before: Annotated[int | None, Query(ge=1, le=1 << 62)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_READ)] = 100,
) -> list[EntryView]:
    """The newest first; `before`: only entries with lower numbers."""
    return [EntryView.model_validate(entry) for entry in parts.audit.page(before, limit)]


@routes.get("/proof", summary="Is the log as it was written?")
def prove_audit(parts: Parts) -> Proof:
    """Follows the chain of hashes through the whole log."""
    newest = parts.audit.page(limit=1)
    return Proof(entries=newest[0].number if newest else 0, broken=parts.audit.first_broken())

"""The calls about the audit log; nothing changes it."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from castserver.api.access import Parts, admin_routes
from castserver.api.askedtext import AskedText
from castserver.api.viewbase import View
from castserver.audit.auditlog import MOST_READ, AuditLog
from castserver.audit.auditquestion import AuditQuestion
from castserver.days import Day, after, begin

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
    waiting: int = Field(description="entries that wait for a database that is away, or were lost by it")


class Asked(BaseModel):
    """Which entries; what is left out chooses all. Days are those of UTC."""

    model_config = ConfigDict(extra="forbid")

    who: AskedText = Field("", description="this user, `token NAME`, or `server`")
    text: AskedText = Field("", description="stands somewhere in the entry")
    failed: bool = Field(default=False, description="only what was refused or went wrong")
    since: Day | None = Field(None, description="the first day, as 2026-11-27")
    until: Day | None = Field(None, description="the last day")

    def question(self) -> AuditQuestion:
        """It as the audit log understands it."""
        return AuditQuestion(
            self.who.strip(), self.text.strip(), self.failed, begin(self.since), after(self.until)
        )


class AskedPage(Asked):
    """A page of them."""

    before: int | None = Field(None, ge=1, le=1 << 62, description="only those with lower numbers")
    limit: int = Field(100, ge=1, le=MOST_READ)


@routes.get("", summary="Who did what")
def show_audit(parts: Parts, asked: Annotated[AskedPage, Query()]) -> list[EntryView]:
    """The newest first."""
    found = parts.audit.page(asked.before, asked.limit, asked.question())
    return [EntryView.model_validate(entry) for entry in found]


@routes.get("/proof", summary="Is the log as it was written?")
def prove_audit(parts: Parts) -> Proof:
    """Follows the chain of hashes through the whole log."""
    return proof(parts.audit)


def proof(audit: AuditLog) -> Proof:
    """What following the chain found."""
    newest = audit.page(limit=1)
    number = newest[0].number if newest else 0
    return Proof(entries=number, broken=audit.first_broken(), waiting=audit.waiting)

"""Who may do what at the server: three roles, each of which may all that the one before it may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """VIEWER sees all but accounts; OPERATOR casts, boots, changes machines; ADMIN keeps accounts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Whether this role may what ``needed`` may."""
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from: a user's name, or ``token NAME``; ``session`` is "" for a token."""

    name: str
    role: Role
    session: str = ""

"""The form of a new cast: what it asks for, or which of its fields makes no sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from castcore.disk import parse_rules
from castcore.errors import FleetcastError, Refused
from pydantic import ValidationError

from castserver.casts.castmodel import Request
from castserver.casts.castwish import NeverStarts, NewCast, request_of
from castserver.machines.clients import Clients

# The field that says whom the cast is for.
WHO = "who"


@dataclass(frozen=True)
class Wrong:
    """What is wrong with the ``field`` of a form (the API's name of it, or WHO), and what to do."""

    field: str
    error: str
    hint: str = ""


def asked_of(clients: Clients, body: Mapping[str, Any]) -> Request | Wrong:
    """The cast that ``body`` asks for, in the API's own words (`NewCast`)."""
    try:
        wish = NewCast.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        return Wrong(str(first["loc"][0]) if first["loc"] else "", first["msg"])
    try:
        if wish.rules:
            parse_rules(wish.rules, "the rules")
    except Refused as error:
        return Wrong("rules", error.what, error.hint)
    try:
        return request_of(clients, wish)
    except NeverStarts as error:
        return Wrong("most_at_once", error.what, error.hint)
    except FleetcastError as error:  # a machine, group or tag that nobody knows
        return Wrong(WHO, error.what, error.hint)

"""The application, and what its OpenAPI document says of every call beside what its route declares."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI

from castserver.api.queries import Queries, known_query
from castserver.api.views import ErrorView

# What any call may be answered, by status.
ALWAYS = {
    "422": "The request is malformed",
    "500": "The server's disk or database failed",
    "507": "The server's disk is full",
}
_WITH_BODY = {"400": "The body is no text", "413": "The request is too large"}
_WITH_TOKEN = {"401": "Nobody we know"}
_SHAPE = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorView.__name__}"}}}


class Application(FastAPI):
    """The framework's application, whose document tells the one shape of all refusals.

    Its calls take only the query parameters that the document tells of.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(dependencies=[Depends(known_query)], **options)
        self._queries: Queries | None = None

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if not self.openapi_schema:
            document = super().openapi()
            for item in document["paths"].values():
                for operation in item.values():
                    _tell_refusals(operation)
        return super().openapi()

    def queries(self) -> Queries:
        """The query parameters of every call; made once."""
        if self._queries is None:
            self._queries = Queries(self.openapi())
        return self._queries


def _tell_refusals(operation: dict[str, Any]) -> None:
    """Whatever a call answers when all goes well, bytes or JSON, its refusals are an ErrorView."""
    answers = operation["responses"]
    known = dict(ALWAYS)
    if "requestBody" in operation:
        known |= _WITH_BODY
    if "security" in operation:
        known |= _WITH_TOKEN
    for status, description in known.items():
        answers.setdefault(status, {"description": description})
    for status, answer in answers.items():
        if status >= "4":
            answer["content"] = _SHAPE

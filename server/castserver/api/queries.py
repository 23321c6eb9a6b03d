"""A query parameter that a call does not know is refused: a misspelt filter would show wrong data.

What a call knows is what the OpenAPI document says of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from castcore.control import API
from castcore.errors import BadPacket
from fastapi import Request
from starlette.routing import compile_path

SHOWN = 60


class Queries:
    """The query parameters of every call of ``document``."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._calls: list[tuple[str, re.Pattern[str], frozenset[str]]] = [
            (method.upper(), compile_path(path)[0], _declared(operation))
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]

    def known(self, method: str, path: str) -> frozenset[str] | None:
        """Those of a call to ``path``; None: the document has no such call."""
        found = (names for own, pattern, names in self._calls if own == method and pattern.match(path))
        return next(found, None)


def _declared(operation: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query")


async def known_query(request: Request) -> None:
    """Return if the call knows each of its query parameters. Raises BadPacket."""
    if not request.url.query or not request.url.path.startswith(f"{API}/"):
        return
    known = request.app.queries().known(request.method, request.url.path)
    if known is None:
        return
    for name in request.query_params:
        if name not in known:
            these = ", ".join(sorted(known))
            raise BadPacket(
                f"this call knows no query parameter {name[:SHOWN]!r}",
                hint=f"it knows {these}" if known else "it takes none",
            )

"""A page for who is logged in and may see it: what every page behind the login begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Request, Response

from castserver.accounts.roles import Caller, Role
from castserver.api.access import caller_of
from castserver.console import page
from castserver.parts import ServerParts


def visited(
    request: Request,
    parts: ServerParts,
    template: str,
    values: Callable[[Caller], Mapping[str, object]],
    *,
    needed: Role = Role.VIEWER,
) -> Response:
    """``template`` with ``values``, for a caller whose role may ``needed``.

    Others are sent to log in, or told that it takes another role.
    """
    caller = caller_of(request, parts)
    if caller is None:
        return page.to_login()
    given: dict[str, object] = {"name": parts.name, "caller": caller}
    if not caller.role.may(needed):
        return page.render(request, "forbidden.html", given | {"needed": needed}, status=403)
    return page.render(request, template, given | dict(values(caller)))

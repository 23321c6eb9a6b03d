"""The pages about people: log in and out, one's own account, and who may log in at all."""

from functools import partial
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread
from anyio import CapacityLimiter
from castcore.errors import Busy, Refused
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from castserver.accounts.attempts import TooManyAttempts
from castserver.accounts.passwords import AT_ONCE
from castserver.accounts.roles import Caller, Role
from castserver.accounts.sessions import COOKIE, SESSION_SECONDS
from castserver.api.access import Parts
from castserver.audit.auditedroute import address
from castserver.console import page
from castserver.console.visit import visited
from castserver.parts import ServerParts

LONGEST_FORM = 4096
# Hashing a password takes its time on purpose: it must not take the threads that machines report by.
MOST_WAITING = 20
_hashing = CapacityLimiter(AT_ONCE)

routes = APIRouter(include_in_schema=False)


@routes.get("/login")
def login_page(request: Request, parts: Parts) -> Response:
    """Asks who it is."""
    return _ask(request, parts)


@routes.post("/login")
async def login(request: Request, parts: Parts) -> Response:
    """Opens a session for who knows the password."""
    _require_same_site(request)
    body = await request.body()
    if len(body) > LONGEST_FORM:
        raise Refused("this form is too long to be one of ours")
    if _hashing.statistics().tasks_waiting >= MOST_WAITING:
        raise Busy("too many log in at this moment")
    form = parse_qs(body.decode(errors="replace"))
    name, password = (form.get(field, [""])[0] for field in ("name", "password"))
    work = partial(_log_in, request, parts, name.strip(), password)
    return await anyio.to_thread.run_sync(work, limiter=_hashing)


def _ask(request: Request, parts: ServerParts, problem: str = "", status: int = 200) -> Response:
    return page.render(request, "login.html", {"name": parts.name, "problem": problem}, status=status)


def _log_in(request: Request, parts: ServerParts, name: str, password: str) -> Response:
    where = address(request)
    try:
        caller = parts.auth.login(name, password, where)
    except TooManyAttempts as error:
        parts.audit.note(Caller(name[:64] or "nobody", Role.VIEWER), where, "log in", outcome=error.what)
        return _ask(request, parts, "Too many wrong attempts: wait a moment.", 429)
    if caller is None:
        shown = Caller(name[:64] or "nobody", Role.VIEWER)
        parts.audit.note(shown, where, "log in", outcome="wrong name or password")
        return _ask(request, parts, "That is no user's name and password.", 401)
    parts.audit.note(caller, where, "log in")
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        caller.session,
        max_age=SESSION_SECONDS,
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer


@routes.post("/logout")
def logout(request: Request, parts: Parts) -> Response:
    """Closes the session."""
    _require_same_site(request)
    session = request.cookies.get(COOKIE, "")
    caller = parts.auth.sessions.caller(session, used=True)
    if caller is not None:
        parts.auth.sessions.close(session)
        parts.audit.note(caller, address(request), "log out")
    answer = page.to_login()
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return answer


@routes.get("/account")
def account(request: Request, parts: Parts) -> Response:
    """One's own password."""
    return visited(request, parts, "account.html", lambda _: {})


@routes.get("/users")
def users(request: Request, parts: Parts) -> Response:
    """Who may log in, and the tokens of scripts; for an administrator."""

    def values(_: Caller) -> dict[str, object]:
        auth = parts.auth
        return {
            "roles": list(Role),
            "users": auth.users.all(),
            "tokens": auth.tokens.all(),
        }

    return visited(request, parts, "users.html", values, needed=Role.ADMIN)


def _require_same_site(request: Request) -> None:
    # These forms carry no header of ours; every browser of today says where a POST comes from.
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(f"a page of {origin:.80} may not do this", hint="use the console's own page")

"""The calls about accounts: one's own; and, for an administrator, users and the tokens of scripts."""

from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.accounts import passwords
from castserver.accounts.apitokens import ApiToken
from castserver.accounts.roles import Role
from castserver.api.access import Admin, Name, Parts, Viewer, admin_routes, viewer_routes
from castserver.api.viewbase import View
from castserver.api.views import ErrorView, Refusals
from castserver.audit.auditedroute import address

MOST_DAYS = 3650

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such user or token"}}
_GUESSING: Refusals = {429: {"model": ErrorView, "description": "Too many wrong attempts"}}
Password = Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)]

own = viewer_routes("account", "/me")
routes = admin_routes("accounts")


class Me(View):
    """Who the caller is."""

    name: str
    role: Role


class UserView(View):
    """Somebody who may log in."""

    name: str
    role: Role
    changed: int = Field(description="when the password was set last, Unix seconds")


class NewPassword(BaseModel):
    """One's own new password, and the one that it replaces."""

    model_config = ConfigDict(extra="forbid")

    old_password: Password
    new_password: Password


class NewUser(BaseModel):
    """Somebody who may log in from now on."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    role: Role
    password: Password | None = Field(None, description="null: one is made")


class ChangedUser(BaseModel):
    """What shall hold from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    password: Password | None = None
    new_password: StrictBool = Field(default=False, description="make a password, and answer with it")


class AnsweredUser(UserView):
    """A user, with the password that was made for it: nobody can be told it again."""

    password: str | None = None


class TokenView(View):
    """A script's token. Times are Unix seconds."""

    id: str
    name: str
    role: Role
    made_by: str
    created: int
    expires: int
    used: int | None = Field(description="last use since the server started")


class IssuedToken(TokenView):
    """A new token, with its secret: nobody can be told it again."""

    secret: str


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")
    role: Role
    days: int = Field(90, ge=1, le=MOST_DAYS)


@own.get("", summary="Who I am")
def show_me(caller: Viewer) -> Me:
    """The caller's name and role."""
    return Me(name=caller.name, role=caller.role)


@own.put("/password", summary="Change my password", responses=_GUESSING)
def change_password(parts: Parts, request: Request, caller: Viewer, body: NewPassword) -> Me:
    """Every other session of mine ends."""
    parts.auth.change_password(caller, body.old_password, body.new_password, address(request))
    return show_me(caller)


@routes.get("/users", summary="Who may log in")
def list_users(parts: Parts) -> list[UserView]:
    """By name."""
    return [UserView.model_validate(user) for user in parts.auth.users.all()]


@routes.post("/users", summary="Let somebody log in")
def add_user(parts: Parts, body: NewUser) -> AnsweredUser:
    """The answer has the password if one was made."""
    made = None if body.password is not None else passwords.generated()
    user = parts.auth.users.add(body.name, body.role, body.password or made or "")
    return AnsweredUser(name=user.name, role=user.role, changed=user.changed, password=made)


@routes.put("/users/{name}", summary="Change a user", responses=_MISSING)
def change_user(parts: Parts, name: Name, body: ChangedUser) -> AnsweredUser:
    """The user's sessions end."""
    made = passwords.generated() if body.new_password else None
    parts.auth.change_user(name, body.role, made or body.password)
    user = parts.auth.users.get(name)
    return AnsweredUser(name=user.name, role=user.role, changed=user.changed, password=made)


@routes.post("/users/{name}/remove", summary="Let somebody log in no more", responses=_MISSING)
def remove_user(parts: Parts, name: Name) -> list[UserView]:
    """The user's sessions end; the answer is who is left."""
    parts.auth.remove_user(name)
    return list_users(parts)


@routes.get("/tokens", summary="The tokens of scripts")
def list_tokens(parts: Parts) -> list[TokenView]:
    """Those that have not expired."""
    return [_view(token) for token in parts.auth.tokens.all()]


@routes.post("/tokens", summary="Make a token")
def issue_token(parts: Parts, caller: Admin, body: NewToken) -> IssuedToken:
    """The secret is in this answer and nowhere else."""
    token, secret = parts.auth.tokens.issue(body.name, body.role, body.days, caller.name)
    return IssuedToken(**_view(token).model_dump(), secret=secret)


@routes.post("/tokens/{token}/revoke", summary="Let a token do nothing more", responses=_MISSING)
def revoke_token(parts: Parts, token: Name) -> list[TokenView]:
    """The answer is those that are left."""
    parts.auth.tokens.revoke(token)
    return list_tokens(parts)


def _view(token: ApiToken) -> TokenView:
    return TokenView.model_validate(token)

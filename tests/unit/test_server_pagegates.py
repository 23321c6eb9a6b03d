"""Every route of the application that the API's document does not tell of, and who may have it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from castserver.accounts.roles import Role
from starlette.routing import BaseRoute, Mount

from tests.support.accounts import FROM_CONSOLE, quicken_hashes
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

# What is open to everybody, and why.
OPEN = {
    ("GET", "/openapi.json"): "what the calls are is no secret",
    ("GET", "/docs"): "the same, to be read",
    ("GET", "/login"): "where one logs in",
    ("POST", "/login"): "takes name and password",
    ("POST", "/logout"): "ends one's own session, if there is one",
    ("GET", "/words.js"): "texts of the page where one logs in",
    ("GET", "/language/{language}"): "the same",
    ("GET", "/static"): "style sheet and scripts of the page where one logs in",
}
# The least role that each of the others takes.
NEEDED = {
    ("GET", "/metrics"): Role.VIEWER,
    ("GET", "/"): Role.VIEWER,
    ("GET", "/live"): Role.VIEWER,
    ("GET", "/live/events"): Role.VIEWER,
    ("GET", "/live/here"): Role.VIEWER,
    ("GET", "/casts/{cast}"): Role.VIEWER,
    ("GET", "/casts/{cast}/ask/{what}"): Role.VIEWER,
    ("GET", "/ask/machines"): Role.VIEWER,
    ("POST", "/ask/cast"): Role.VIEWER,
    ("GET", "/boot-images"): Role.VIEWER,
    ("GET", "/history"): Role.VIEWER,
    ("GET", "/images"): Role.VIEWER,
    ("GET", "/licences"): Role.VIEWER,
    ("GET", "/logs"): Role.VIEWER,
    ("GET", "/logs/{machine}/{number}"): Role.VIEWER,
    ("GET", "/settings"): Role.VIEWER,
    ("GET", "/machines"): Role.VIEWER,
    ("GET", "/machines/rows"): Role.VIEWER,
    ("GET", "/machines/{machine}"): Role.VIEWER,
    ("GET", "/machines/{machine}/ask/{what}"): Role.VIEWER,
    ("GET", "/account"): Role.VIEWER,
    ("GET", "/users"): Role.ADMIN,
    ("GET", "/audit"): Role.ADMIN,
}
# Takes a token as well: what else is here is for browsers, which have none.
BY_TOKEN = {("GET", "/metrics")}
FILLED = {"language": "en", "number": "0"}
ASKED = {"/casts/{cast}/ask/{what}": "start", "/machines/{machine}/ask/{what}": "reboot"}
BODIES = {("POST", "/ask/cast"): {"image": "lab"}}


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_hashes(monkeypatch)


@pytest.fixture
def lab() -> ServerLab:
    made = ServerLab()
    made.parts.stopping.set()  # the event stream ends at once
    return made


def routes(found: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str, BaseRoute]]:
    """Method, path and route of all there are, those of included routers too."""
    for route in found:
        included: Any = getattr(route, "original_router", None)
        if included is not None:
            context: Any = getattr(route, "include_context", None)
            yield from routes(included.routes, prefix + context.prefix)
        elif isinstance(route, Mount):
            yield "GET", prefix + route.path, route
        else:
            for method in sorted(getattr(route, "methods", ())):
                if method != "HEAD":  # goes with GET
                    yield method, prefix + str(getattr(route, "path", "?")), route


def untold(lab: ServerLab) -> set[tuple[str, str]]:
    """Method and path of what the document does not tell of."""
    told = {
        (method.upper(), path)
        for path, item in lab.web_app.openapi()["paths"].items()
        for method in item
    }
    found = [(method, path) for method, path, _ in routes(lab.web_app.routes)]
    assert len(found) == len(set(found)), "two routes for one call"
    assert told <= set(found), "routes of the document that are not found here"
    return set(found) - told


def test_every_route_outside_the_document_has_a_row(lab: ServerLab) -> None:
    assert not NEEDED.keys() & OPEN.keys()
    assert untold(lab) == NEEDED.keys() | OPEN.keys()


def ask(lab: ServerLab, call: tuple[str, str], **headers: str) -> Any:
    names = {"cast": lab.casts.all()[0].id, "machine": lab.clients.all()[0].id, **FILLED}
    names["what"] = ASKED.get(call[1], "")
    path = re.sub(r"{(\w+)}", lambda found: names[found[1]], call[1])
    body = BODIES.get(call)
    return lab.http.request(call[0], path, headers=headers, json=body, follow_redirects=False)


@pytest.fixture
def full(lab: ServerLab) -> ServerLab:
    """With a cast and a machine that handed a log in."""
    client = FakeClient(lab, 1).register()
    lab.operator("POST", "/casts", {"image": "lab"})
    log = {"reason": "done", "kernel": "", "journal": ""}
    url = f"/api/v1/clients/{client.id}/log"
    assert lab.http.post(url, json=log, headers=client.headers).is_success
    return lab


def test_a_session_opens_what_its_role_may_see(full: ServerLab) -> None:
    """Who lacks the role is told which one it takes, and is shown nothing else."""
    for call, needed in NEEDED.items():
        for role in Role:
            full.log_in(role)
            answer = ask(full, call, **FROM_CONSOLE)
            if role.may(needed):
                assert answer.is_success, (call, role, answer.text[:300])
            else:
                assert answer.status_code == 403, (call, role, answer.text[:300])
                assert f"takes the role {needed}" in answer.text, (call, role)


def test_nobody_is_shown_anything_but_what_is_open(full: ServerLab) -> None:
    """Pages lead to the login, what scripts ask answers 401: neither has a word about what there is."""
    for call in NEEDED:
        answer = ask(full, call)
        if answer.status_code != 401:
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), call
        assert "lab" not in answer.text, call


def test_a_token_opens_no_page_but_the_metrics(full: ServerLab) -> None:
    for call in NEEDED:
        answer = ask(full, call, **OPERATOR)
        assert (answer.status_code == 200) is (call in BY_TOKEN), (call, answer.status_code)
        assert answer.status_code in {200, 303, 401}, (call, answer.status_code)


@pytest.mark.parametrize("role", Role)
def test_the_metrics_take_a_token_of_any_role(lab: ServerLab, role: Role) -> None:
    _, secret = lab.parts.auth.tokens.issue("monitor", role, 1, "anna")
    assert lab.http.get("/metrics").status_code == 401
    assert lab.http.get("/metrics", headers={"Authorization": "Bearer " + "x" * 43}).status_code == 401
    assert lab.http.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_what_is_open_is_open_and_shows_nothing_of_what_there_is(full: ServerLab) -> None:
    for call in OPEN:
        a_file = call == ("GET", "/static")
        answer = full.http.get("/static/icon.svg") if a_file else ask(full, call)
        wanted = {401} if call == ("POST", "/login") else {200, 303}  # no name, no password
        assert answer.status_code in wanted, (call, answer.status_code)
        for client in full.clients.all():
            assert client.id not in answer.text, call

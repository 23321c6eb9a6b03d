"""Who gets past the gate of each call: roles, by session and by token; clients, by their own token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore import canonical
from castcore.proof import NONCE_HEADER, PROOF_HEADER
from castcore.upload import NewUpload
from castserver.accounts.auth import READING
from castserver.accounts.roles import Role

from tests.support.accounts import FROM_CONSOLE, quicken_hashes
from tests.support.apiworld import ApiWorld
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab, registration
from tests.support.uploadlab import plan_of

# What takes more than reading or operating does by its method, by path.
OF_ADMINS = ("/users", "/tokens", "/audit")
CHANGED_BY_ADMINS = ("/approval",)
OF_EVERYBODY = ("/me",)
OPEN = ("GET", "/server")
REGISTER = ("POST", "/clients")

# A client's own calls, each with what it takes: whatever a gate refuses is not malformed besides.
OF_CLIENTS: dict[tuple[str, str], dict[str, Any]] = {
    REGISTER: {"json": registration(77, key="ab" * 32).to_json()},
    ("GET", "/clients/{client}/orders"): {"params": {"after": 0, "wait": 0}},
    ("POST", "/clients/{client}/report"): {"json": {"state": "ready"}},
    ("POST", "/clients/{client}/log"): {"json": {"reason": "done", "kernel": "", "journal": ""}},
    ("GET", "/casts/{cast}/descriptor"): {},
    ("GET", "/casts/{cast}/manifest"): {},
    ("GET", "/casts/{cast}/index"): {},
    ("GET", "/casts/{cast}/selection/{number}"): {},
    ("GET", "/casts/{cast}/chunks/{number}"): {},
    ("GET", "/casts/{cast}/symbols/{selection}/{block}"): {},
    ("GET", "/casts/{cast}/peers"): {},
    ("GET", "/casts/{cast}/durable"): {"params": {"target": "wwn-1"}},
    ("POST", "/casts/{cast}/durable"): {"json": {"target": "wwn-1", "held": ""}},
    ("POST", "/casts/{cast}/join"): {"json": {}},
    ("POST", "/casts/{cast}/licence"): {},
    ("POST", "/uploads"): {},  # `world` has the image that it is of
    ("GET", "/uploads/{upload}/held"): {},
    ("POST", "/uploads/{upload}/chunks"): {"content": b""},
    ("POST", "/uploads/{upload}/digests"): {"params": {"first": 0}, "content": bytes(7 * 32)},
    ("POST", "/uploads/{upload}/commit"): {"content": canonical.encode({"unreadable": [[]]})},
    ("POST", "/uploads/{upload}/abandon"): {},
}
NUMBERS = {"number": "0", "selection": "0", "block": "0"}
ABSENT = {"client": "m404", "cast": "c404", "interface": "eth9", "mac": "52:54:00:00:00:01"}


class _Names(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ABSENT.get(key, "nosuch")


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_hashes(monkeypatch)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def document(lab: ServerLab) -> list[tuple[str, str]]:
    """Method and URL of every call of the OpenAPI document."""
    paths = lab.web_app.openapi()["paths"]
    return [(method.upper(), url) for url, item in paths.items() for method in item]


def operations(lab: ServerLab) -> list[tuple[str, str, Role]]:
    """Every call of the operator's API, and the least role that may make it."""
    found = []
    for method, url in document(lab):
        path = url.removeprefix("/api/v1")
        if (method, path) in OF_CLIENTS or (method, path) == OPEN:
            continue
        needed = Role.VIEWER if method in READING else Role.OPERATOR
        changed = path.startswith(CHANGED_BY_ADMINS) and method not in READING
        if path.startswith(OF_ADMINS) or changed:
            needed = Role.ADMIN
        if path.startswith(OF_EVERYBODY):
            needed = Role.VIEWER
        found.append((method, url, needed))
    return found


def token_of(lab: ServerLab, role: Role) -> dict[str, str]:
    """The headers of a script with a token of this role."""
    _, secret = lab.parts.auth.tokens.issue(f"a {role}", role, 1, "anna")
    return {"Authorization": f"Bearer {secret}"}


# -- people and scripts ---------------------------------------------------------------------------


def test_every_operation_takes_its_role(lab: ServerLab) -> None:
    """The whole matrix, by session: who lacks the role gets 403, who has it gets past the gate."""
    calls = operations(lab)
    assert len(calls) > 40
    assert {needed for _, _, needed in calls} == set(Role)
    lab.parts.stopping.set()  # the event stream ends at once
    for method, path, needed in calls:
        for role in Role:
            lab.log_in(role)
            require_judged(lab, method, path, FROM_CONSOLE, fits=role.may(needed))


def test_every_operation_takes_a_token_of_its_role(lab: ServerLab) -> None:
    """The same by token, without the console's header; `operator.token` is an administrator's."""
    lab.parts.stopping.set()
    tokens = {role: token_of(lab, role) for role in Role}
    for method, path, needed in operations(lab):
        for role, headers in tokens.items():
            require_judged(lab, method, path, headers, fits=role.may(needed))
        require_judged(lab, method, path, OPERATOR, fits=True)


def require_judged(
    lab: ServerLab, method: str, path: str, headers: dict[str, str], *, fits: bool
) -> None:
    answer = lab.http.request(method, path.format_map(_Names()), headers=headers, json={})
    forbidden = answer.status_code == 403 and "this takes a" in answer.json()["error"]
    assert forbidden is not fits, (method, path, headers, answer.text)
    assert answer.status_code not in {401, 429, 500}, (method, path, headers, answer.text)


def test_nobody_gets_past_any_gate(lab: ServerLab) -> None:
    """A new call that forgets its gate shows here."""
    for method, path, _ in operations(lab):
        answer = lab.http.request(method, path.format_map(_Names()), json={})
        assert answer.status_code == 401, (method, path)


# -- clients --------------------------------------------------------------------------------------


def of_clients(world: ApiWorld) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, URL and content of every client's call, about what there is in ``world``."""
    names = _Names(world.names | NUMBERS)
    plan = NewUpload("theirs", plan_of(world.home / "raw")).encode()
    for (method, path), content in OF_CLIENTS.items():
        filled = {"content": plan} if (method, path) == ("POST", "/uploads") else content
        yield method, "/api/v1" + path.format_map(names), filled


def test_every_call_is_a_persons_or_a_clients(lab: ServerLab) -> None:
    """The rows of `OF_CLIENTS` are calls of the document. One that has no row is taken for a person's,
    and fails above, because no role opens it.
    """
    asked = {(method, url.removeprefix("/api/v1")) for method, url in document(lab)}
    assert asked >= {*OF_CLIENTS, OPEN}


def test_a_clients_own_token_gets_past_its_gates(world: ApiWorld) -> None:
    """What the next test sends is refused for who sends it, not for what it is."""
    own = world.client.headers
    for method, url, content in of_clients(world):
        if url.endswith("/clients"):
            continue  # it has a proof of its own: test_server_proofs
        answer = world.lab.http.request(method, url, headers=own, **content)
        assert answer.status_code not in {401, 403, 422, 429, 500}, (method, url, answer.text)


def test_a_clients_calls_take_a_clients_token(world: ApiWorld) -> None:
    """Exactly 401 for everybody else, though nothing in the call is malformed."""
    lab = world.lab
    own = world.client.headers
    strangers: dict[str, dict[str, str]] = {
        "nobody": {},
        "an invented token": {"Authorization": "Bearer " + "x" * 43},
        "its token without a proof": own | {PROOF_HEADER: ""},
        "operator.token": OPERATOR,
        **{f"a token of {role}": token_of(lab, role) for role in Role},
    }
    for method, url, content in of_clients(world):
        for who, headers in strangers.items():
            require_401(lab, (method, url), headers, who, content)
        for role in Role:
            lab.log_in(role)
            require_401(lab, (method, url), FROM_CONSOLE, f"a session of {role}", content)
            lab.http.cookies.clear()


def test_a_client_speaks_for_itself_alone(world: ApiWorld) -> None:
    other = FakeClient(world.lab, 9).register()
    named = [call for call in of_clients(world) if f"/{world.client.id}/" in call[1]]
    assert len(named) == sum("{client}" in path for _, path in OF_CLIENTS) == 3
    for method, url, content in named:
        require_401(world.lab, (method, url), other.headers, "another client", content)
    uploads = [call for call in of_clients(world) if f"/{world.names['upload']}/" in call[1]]
    assert len(uploads) == 5
    for method, url, content in uploads:  # it is not told whether there is such a one
        answer = world.lab.http.request(method, url, headers=other.headers, **content)
        assert answer.status_code == 404, (method, url, answer.text)


def require_401(
    lab: ServerLab, call: tuple[str, str], headers: dict[str, str], who: str, content: dict[str, Any]
) -> None:
    answer = lab.http.request(*call, headers=headers, **content)
    assert answer.status_code == 401, (call, who, answer.status_code, answer.text)


def test_registering_is_signed_and_the_statement_is_open(lab: ServerLab) -> None:
    body = json.dumps(OF_CLIENTS[REGISTER]["json"]).encode()
    for headers in ({}, OPERATOR):
        answer = lab.http.post(
            "/api/v1/clients", content=body, headers={**headers, "Content-Type": "application/json"}
        )
        assert answer.status_code == 401
        assert answer.headers[NONCE_HEADER]
    assert lab.clients.all() == []
    assert lab.http.get("/api/v1/server").status_code == 200

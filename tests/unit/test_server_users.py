from __future__ import annotations

import pytest
from castcore.errors import NotFound, Refused
from castserver.accounts.apitokens import ApiTokens
from castserver.accounts.roles import Caller, Role
from castserver.accounts.users import FIRST, Users
from castserver.days import DAY

from tests.support import databases
from tests.support.accounts import FROM_CONSOLE, PASSWORD, log_in, quicken_hashes
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_hashes(monkeypatch)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


# -- users ----------------------------------------------------------------------------------------


def test_the_last_administrator_stays(lab: ServerLab) -> None:
    users = lab.parts.auth.users
    users.first()
    with pytest.raises(Refused, match="only administrator"):
        users.remove(FIRST)
    with pytest.raises(Refused, match="only administrator"):
        users.change(FIRST, Role.VIEWER, None)
    users.add("anna", Role.ADMIN, PASSWORD)
    users.remove(FIRST)
    assert [user.name for user in Users(lab.database).all()] == ["anna"]


@pytest.mark.parametrize("name", ["", "Anna", "-a", "a b", "a" * 65, "ä", "a\n"])
def test_a_name_that_is_none_is_refused(lab: ServerLab, name: str) -> None:
    with pytest.raises(Refused, match="is no user's name"):
        lab.parts.auth.users.add(name, Role.VIEWER, PASSWORD)


@pytest.mark.parametrize("password", ["short", "x" * 201])
def test_a_bad_password_is_refused(lab: ServerLab, password: str) -> None:
    with pytest.raises(Refused, match="a password has"):
        lab.parts.auth.users.add("anna", Role.VIEWER, password)
    assert lab.parts.auth.users.all() == []


def test_a_change_ends_the_users_sessions(lab: ServerLab) -> None:
    lab.operator("POST", "/users", {"name": "anna", "role": "operator", "password": PASSWORD})
    assert log_in(lab, "anna", PASSWORD).status_code == 303
    answer = lab.operator("PUT", "/users/anna", {"new_password": True})
    assert lab.http.get("/live").status_code == 401
    assert log_in(lab, "anna", PASSWORD).status_code == 401
    assert log_in(lab, "anna", answer["password"]).status_code == 303
    lab.operator("PUT", "/users/anna", {"role": "viewer"})
    assert lab.http.get("/live").status_code == 401
    assert log_in(lab, "anna", answer["password"]).status_code == 303
    lab.operator("POST", "/users/anna/remove")
    assert lab.http.get("/live").status_code == 401


def test_ones_own_password_takes_the_old_one(lab: ServerLab) -> None:
    lab.operator("POST", "/users", {"name": "anna", "role": "viewer", "password": PASSWORD})
    elsewhere = lab.parts.auth.login("anna", PASSWORD, "10.0.0.7")
    log_in(lab, "anna", PASSWORD)
    change = {"old_password": "wrong wrong wrong", "new_password": "another password"}
    assert lab.http.put("/api/v1/me/password", json=change, headers=FROM_CONSOLE).status_code == 403
    change["old_password"] = PASSWORD
    assert lab.http.put("/api/v1/me/password", json=change, headers=FROM_CONSOLE).status_code == 200
    assert lab.http.get("/live").status_code == 200
    assert elsewhere is not None
    assert lab.parts.auth.sessions.caller(elsewhere.session, used=False) is None
    assert lab.parts.auth.login("anna", "another password", "10.0.0.7") is not None


def test_a_script_has_no_password_to_change(lab: ServerLab) -> None:
    change = {"old_password": PASSWORD, "new_password": PASSWORD}
    assert lab.http.put("/api/v1/me/password", json=change, headers=OPERATOR).status_code == 403


# -- tokens of scripts ----------------------------------------------------------------------------


def test_a_token_has_its_role_until_it_ends() -> None:
    now = 1_000_000.0
    tokens = ApiTokens(databases.fresh(), lambda: now)
    token, secret = tokens.issue("nightly", Role.OPERATOR, 2, "anna")
    assert tokens.caller(secret) == Caller("token nightly", Role.OPERATOR)
    assert tokens.caller(secret + "x") is None
    assert tokens.all()[0].used == now
    now += 2 * DAY
    assert tokens.caller(secret) is None
    assert tokens.all() == []
    with pytest.raises(NotFound):
        tokens.revoke(token.id)


def test_a_token_outlives_a_restart_and_not_its_revocation(lab: ServerLab) -> None:
    made = lab.operator("POST", "/tokens", {"name": "nightly", "role": "viewer", "days": 7})
    headers = {"Authorization": f"Bearer {made['secret']}"}
    lab.restart()
    assert lab.http.get("/api/v1/me", headers=headers).json()["name"] == "token nightly"
    assert lab.http.post("/api/v1/casts", json={"image": "lab"}, headers=headers).status_code == 403
    assert lab.operator("POST", f"/tokens/{made['id']}/revoke") == []
    assert lab.http.get("/api/v1/me", headers=headers).status_code == 401


def test_a_clients_token_is_nobodys(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    assert lab.http.get("/api/v1/state", headers=client.headers).status_code == 401

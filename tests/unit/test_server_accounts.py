from __future__ import annotations

import asyncio
import re

import pytest
from castcore.errors import Refused
from castserver.accounts import passwords
from castserver.accounts.attempts import FREE, LONGEST_WAIT, MOST_KEPT, Attempts, TooManyAttempts, place
from castserver.accounts.roles import Caller, Role
from castserver.accounts.sessions import COOKIE, IDLE_SECONDS, MOST_SESSIONS, SESSION_SECONDS, Sessions
from castserver.accounts.users import FIRST, Users
from castserver.api import operatorroutes

from tests.support.accounts import FROM_CONSOLE, PASSWORD, log_in, quicken_hashes
from tests.support.serverlab import FakeClock, ServerLab


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_hashes(monkeypatch)


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


# -- logging in -----------------------------------------------------------------------------------


def test_the_first_user_is_made_once(lab: ServerLab) -> None:
    password = lab.parts.auth.users.first()
    assert password is not None
    assert lab.parts.auth.users.first() is None
    assert Users(lab.database).first() is None
    assert log_in(lab, FIRST, password).headers["location"] == "/"
    assert lab.http.get("/api/v1/me").json() == {"name": FIRST, "role": "admin"}


def test_passwords_are_not_kept(lab: ServerLab) -> None:
    lab.operator("POST", "/users", {"name": "anna", "role": "operator", "password": PASSWORD})
    with lab.database._opened.engine.connect() as connection:
        dump = "\n".join(str(row) for row in connection.exec_driver_sql("select * from users"))
        dump += "\n".join(str(row) for row in connection.exec_driver_sql("select * from audit"))
    assert "anna" in dump
    assert PASSWORD not in dump


def test_a_session_reads_but_changes_things_only_for_the_console(lab: ServerLab) -> None:
    assert lab.http.get("/", follow_redirects=False).headers["location"] == "/login"
    lab.log_in()
    assert lab.http.get("/").status_code == 200
    assert lab.http.get("/api/v1/casts").status_code == 200
    assert lab.http.post("/api/v1/casts", json={"image": "lab"}).status_code == 401
    assert lab.http.post("/api/v1/casts", json={"image": "lab"}, headers=FROM_CONSOLE).status_code == 201


def test_another_sites_page_can_log_nobody_in_or_out(lab: ServerLab) -> None:
    password = lab.parts.auth.users.first() or ""
    assert log_in(lab, FIRST, password, origin="https://evil.example").status_code == 403
    assert log_in(lab, FIRST, password, origin="https://testserver").status_code == 303
    session = lab.http.cookies[COOKIE]
    lab.http.post("/logout", headers={"origin": "null"}, follow_redirects=False)
    assert lab.parts.auth.sessions.caller(session, used=False) is not None
    lab.http.post("/logout", follow_redirects=False)
    assert lab.parts.auth.sessions.caller(session, used=False) is None
    assert lab.http.get("/live").status_code == 401


def test_guessing_is_slowed_down_but_locks_nobody_else_out(lab: ServerLab) -> None:
    auth = lab.parts.auth
    password = auth.users.first() or ""
    for _ in range(FREE):
        assert auth.login(FIRST, "wrong wrong wrong", "10.0.0.9") is None
    with pytest.raises(TooManyAttempts):
        auth.login(FIRST, password, "10.0.0.9")
    assert auth.login(FIRST, password, "10.0.0.8") is not None
    lab.clock.now += LONGEST_WAIT
    assert auth.login(FIRST, password, "10.0.0.9") is not None
    for _ in range(FREE):
        assert log_in(lab, "nobody", "x").status_code == 401
    assert log_in(lab, "nobody", "x").status_code == 429


def test_waits_double_and_what_is_kept_is_bounded() -> None:
    clock = FakeClock()
    attempts = Attempts(clock)
    waits = []
    for _ in range(FREE + 12):
        start = clock.now
        while True:
            try:
                attempts.begin("a")
                break
            except TooManyAttempts:
                clock.now += 0.5
        waits.append(clock.now - start)
    assert waits[: FREE + 1] == [0.0] * FREE + [2.0]
    assert waits[FREE + 1 : FREE + 4] == [4.0, 8.0, 16.0]
    assert max(waits) == LONGEST_WAIT
    for number in range(MOST_KEPT + 5):
        attempts.begin(str(number))
    assert len(attempts._wrong) == MOST_KEPT
    attempts.right("a")
    attempts.begin("a")


def test_many_guesses_at_once_are_counted_each() -> None:
    attempts = Attempts(FakeClock())
    for _ in range(FREE):
        attempts.begin("a")  # none of them has been judged yet
    with pytest.raises(TooManyAttempts):
        attempts.begin("a")


def test_a_host_with_many_addresses_is_one_place() -> None:
    assert place("2001:db8::1") == place("2001:db8::ffff:2") == "2001:db8::/64"
    assert place("fe80::1%eth0") == "fe80::/64"
    assert place("10.0.0.1") != place("10.0.0.2")
    assert place("testclient") == "testclient"


# -- sessions -------------------------------------------------------------------------------------


def test_who_does_nothing_is_logged_out_though_the_page_renews_itself() -> None:
    clock = FakeClock()
    sessions = Sessions(clock)
    operator, viewer = sessions.open("anna", Role.OPERATOR), sessions.open("wall", Role.VIEWER)
    clock.now += IDLE_SECONDS - 1
    assert sessions.caller(operator, used=False) == Caller("anna", Role.OPERATOR, operator)
    clock.now += 2
    assert sessions.caller(operator, used=False) is None
    assert sessions.caller(viewer, used=False) is not None
    clock.now += SESSION_SECONDS
    assert sessions.caller(viewer, used=True) is None


def test_use_keeps_a_session() -> None:
    clock = FakeClock()
    sessions = Sessions(clock)
    session = sessions.open("anna", Role.ADMIN)
    for _ in range(SESSION_SECONDS // IDLE_SECONDS):
        clock.now += IDLE_SECONDS - 1
        assert sessions.caller(session, used=True) is not None
    clock.now += IDLE_SECONDS - 1
    assert sessions.caller(session, used=True) is None, "twelve hours are the end in any case"


def test_the_pages_own_calls_are_no_use(lab: ServerLab) -> None:
    lab.log_in()
    lab.clock.now += IDLE_SECONDS - 1
    assert lab.http.get("/live").status_code == 200
    assert lab.http.get("/api/v1/state").status_code == 200
    lab.clock.now += 2
    assert lab.http.get("/live").status_code == 401


def test_a_stream_ends_with_its_session(lab: ServerLab) -> None:
    session = lab.log_in()
    caller = Caller("operator", Role.OPERATOR, session)

    async def until_its_end() -> int:
        count = 0
        async for _ in operatorroutes._events(lab.parts, caller, ""):
            count += 1
            lab.parts.auth.sessions.close(session)
        return count

    assert asyncio.run(asyncio.wait_for(until_its_end(), 10)) == 1


def test_a_stream_ends_with_its_token(lab: ServerLab) -> None:
    token, secret = lab.parts.auth.tokens.issue("watch", Role.VIEWER, 1, "anna")
    caller = lab.parts.auth.tokens.caller(secret)
    assert caller is not None

    async def until_its_end() -> int:
        count = 0
        async for _ in operatorroutes._events(lab.parts, caller, secret):
            count += 1
            lab.parts.auth.tokens.revoke(token.id)
        return count

    assert asyncio.run(asyncio.wait_for(until_its_end(), 10)) == 1
    assert lab.parts.auth.sessions.away() is None, "a script is nobody at a console"


def test_a_change_is_whole_or_nothing(lab: ServerLab) -> None:
    auth = lab.parts.auth
    password = auth.users.first() or ""
    with pytest.raises(Refused, match="only administrator"):
        auth.change_user(FIRST, Role.VIEWER, "another password")
    assert auth.login(FIRST, password, "10.0.0.1") is not None


def test_a_login_under_way_does_not_outlive_a_change(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = lab.parts.auth
    auth.users.first()
    auth.users.add("anna", Role.OPERATOR, PASSWORD)
    matches = passwords.matches

    def slow(kept: str, password: str) -> bool:
        found = matches(kept, password)
        auth.change_user("anna", Role.VIEWER, None)  # while the hash is compared
        return found

    monkeypatch.setattr(passwords, "matches", slow)
    assert auth.login("anna", PASSWORD, "10.0.0.1") is None


def test_a_form_that_is_too_long_is_refused(lab: ServerLab) -> None:
    assert log_in(lab, "admin", "x" * 5000).status_code == 403


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    first = sessions.open("anna", Role.ADMIN)
    for _ in range(MOST_SESSIONS):
        sessions.open("bob", Role.VIEWER)
    assert sessions.caller(first, used=True) is None


# -- the page -------------------------------------------------------------------------------------


def test_the_pages_about_people_show_each_what_concerns_them(lab: ServerLab) -> None:
    for url in ("/account", "/users", "/audit"):
        assert lab.http.get(url, follow_redirects=False).headers["location"] == "/login"
    lab.operator("POST", "/users", {"name": "anna", "role": "operator", "password": PASSWORD})
    lab.operator("POST", "/tokens", {"name": "<nightly>", "role": "viewer"})
    lab.log_in(Role.OPERATOR)
    page = lab.http.get("/account").text
    assert 'id="my-password"' in page
    assert 'href="/users"' not in page
    for url in ("/users", "/audit"):
        refused = lab.http.get(url)
        assert refused.status_code == 403
        assert "takes the role admin, operator has the role operator" in refused.text
    lab.log_in(Role.ADMIN)
    page = lab.http.get("/users").text
    assert '<a href="/users" aria-current="page">' in page
    assert "<b>anna</b>" in page
    assert "&lt;nightly&gt;" in page
    assert PASSWORD not in page
    page = lab.http.get("/audit").text
    assert re.search(r"token operator.token</td>.*POST /api/v1/users", page, re.DOTALL)
    assert PASSWORD not in page

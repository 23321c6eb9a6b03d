"""What a browser shows of an address that leads nowhere."""

from __future__ import annotations

import pytest
from castserver.accounts.roles import Role

from tests.support.serverlab import OPERATOR, ServerLab

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/machines/PC77", 404, "There is no such machine."),
        ("/casts/c404", 404, "There is no such cast."),
        ("/nonsense", 404, "There is no such page."),
        ("/language/xx", 422, "That did not work"),
        (f"/machines/{'x' * 70}", 422, "That did not work"),
    ],
)
def test_it_is_a_page_of_the_console(lab: ServerLab, path: str, status: int, said: str) -> None:
    lab.log_in(Role.VIEWER)
    answer = lab.http.get(path, headers=BROWSER)
    assert answer.status_code == status
    assert f"<h1>{said}</h1>" in answer.text
    assert '<nav class="pages"' in answer.text
    assert answer.text.count("<title>") == 1


def test_what_is_asked_for_stands_in_it_as_text(lab: ServerLab) -> None:
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/machines/<b>PC7", headers=BROWSER).text
    assert "<b>PC7" not in page
    assert "&lt;b&gt;PC7" in page
    japanese = lab.http.get("/casts/c404", headers={**BROWSER, "accept-language": "ja"}).text
    assert "この配信はありません。" in japanese


def test_scripts_and_the_api_get_no_page(lab: ServerLab) -> None:
    lab.log_in()
    assert lab.http.get("/casts/c404").json()["error"]
    answer = lab.http.get("/api/v1/casts/c404", headers={**BROWSER, **OPERATOR})
    assert answer.json()["error"]


def test_who_is_not_logged_in_learns_nothing(lab: ServerLab) -> None:
    for path in ("/machines/PC77", "/casts/c404", "/nonsense"):
        answer = lab.http.get(path, headers=BROWSER, follow_redirects=False)
        assert answer.headers["location"] == "/login", path

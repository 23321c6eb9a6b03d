"""A query parameter that a call does not know is refused with its name, not ignored."""

from __future__ import annotations

import pytest
from castserver.api.queries import Queries

from tests.support.serverlab import OPERATOR, FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.mark.parametrize(
    ("path", "wrong", "known"),
    [
        ("/history?imge=office", "'imge'", "it knows image, kind, limit, machine"),
        ("/history?image=office&Limit=3", "'Limit'", "it knows image"),
        ("/history.csv?limit=3", "'limit'", "it knows image"),
        ("/licences/uses?cast=c1", "'cast'", "it knows ledger, limit, offset"),
        ("/casts?state=running", "'state'", "it takes none"),
        ("/casts/c1?=", "''", "it takes none"),
    ],
)
def test_what_a_call_does_not_know_is_refused(lab: ServerLab, path: str, wrong: str, known: str) -> None:
    answer = lab.http.get(f"/api/v1{path}", headers=OPERATOR)
    assert answer.status_code == 422, answer.text
    assert wrong in answer.json()["error"]
    assert answer.json()["hint"].startswith(known)


def test_what_it_knows_it_takes(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    for path in (
        "/history?image=office&limit=3",
        "/audit?limit=1",
        f"/logs?machine={client.id}&machine={client.id}",
    ):
        answer = lab.http.get(f"/api/v1{path}", headers=OPERATOR)
        assert answer.status_code == 200, (path, answer.text)
    assert client.get(f"/clients/{client.id}/orders?after=0&wait=0").status_code == 200


def test_a_changing_call_with_one_changes_nothing(lab: ServerLab) -> None:
    answer = lab.http.post("/api/v1/casts?dry_run=1", json={"image": "lab"}, headers=OPERATOR)
    assert answer.status_code == 422
    assert lab.casts.all() == []


def test_the_pages_are_none_of_it(lab: ServerLab) -> None:
    lab.log_in()
    assert lab.http.get("/machines?utm_source=mail").status_code == 200
    assert lab.http.get("/api/v1/nothing?x=1", headers=OPERATOR).status_code == 404


def test_parameters_of_a_path_and_of_other_methods_do_not_count() -> None:
    operation = {"parameters": [{"name": "id", "in": "path"}, {"name": "n", "in": "query"}]}
    queries = Queries({"paths": {"/a/{id}": {"get": operation, "post": {}}}})
    assert queries.known("GET", "/a/b") == frozenset("n")
    assert queries.known("POST", "/a/b") == frozenset()
    assert queries.known("GET", "/a/b/c") is None

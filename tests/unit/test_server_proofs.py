"""Clients prove what they ask, over HTTP: replays, wrong keys, stale nonces, hostile registrations."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from castcore.control import CONTROL
from castcore.proof import NONCE_HEADER, PROOF_HEADER, Prover
from castcore.trust import SigningKey
from castserver.machines import proofs
from castserver.machines.proofs import CHALLENGE_SECONDS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.serverlab import CERTIFICATE, CLIENTS, FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def with_proof(client: FakeClient, proof: str, path: str = "/orders") -> Any:
    headers = {**client.headers, PROOF_HEADER: proof}
    return client.lab.http.get(f"/api/v1/clients/{client.id}{path}", headers=headers)


def prover_of(client: FakeClient, key: SigningKey | None = None, **wrong: Any) -> Prover:
    known = {"server": CERTIFICATE, "token": client.token, "nonce": client.lab.clients.proofs.nonce}
    return Prover(key or client.key, **{**known, **wrong})


def orders(client: FakeClient) -> str:
    return f"/api/v1/clients/{client.id}/orders"


def test_a_token_alone_is_worth_nothing(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    for proof in ("", "rubbish", "ab 1 " + "0" * 128):
        answer = with_proof(client, proof)
        assert answer.status_code == 401, proof
        assert answer.headers[NONCE_HEADER] == lab.clients.proofs.nonce


def test_a_proof_counts_once_and_for_its_own_request(lab: ServerLab) -> None:
    client, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    proof = prover_of(client).header("GET", orders(client))
    # Not taken by what it does not fit, so that nobody can use up another's numbers.
    assert with_proof(client, proof, "/orders?after=1").status_code == 401
    assert with_proof(other, proof).status_code == 401
    assert with_proof(client, proof).status_code == 200
    again = with_proof(client, proof)
    assert again.status_code == 401
    assert "used before" in again.json()["error"]


@pytest.mark.parametrize(
    "wrong", [{"server": bytes(32)}, {"token": "another"}, {"key": SigningKey(bytes(32))}]
)
def test_another_server_token_or_key_is_none(lab: ServerLab, wrong: dict[str, Any]) -> None:
    client = FakeClient(lab, 1).register()
    prover = prover_of(client, **wrong)
    assert with_proof(client, prover.header("GET", orders(client))).status_code == 401


def test_what_was_recorded_before_a_restart_counts_for_nothing_after_it(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    proof = prover_of(client).header("GET", orders(client))
    lab.restart()
    answer = with_proof(client, proof)
    assert answer.status_code == 401
    # And who has the key goes on with the new nonce, with the same token.
    fresh = prover_of(client, nonce=answer.headers[NONCE_HEADER])
    assert with_proof(client, fresh.header("GET", orders(client))).status_code == 200


def test_every_call_of_a_client_wants_a_proof(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    asked = [
        ("GET", f"/clients/{client.id}/orders"),
        ("POST", f"/clients/{client.id}/report"),
        ("POST", f"/clients/{client.id}/log"),
        ("POST", f"/casts/{cast}/join"),
        ("POST", f"/casts/{cast}/licence"),
        ("POST", f"/casts/{cast}/durable"),
        ("GET", f"/casts/{cast}/durable?target=x"),
        *(
            ("GET", f"/casts/{cast}/{what}")
            for what in (
                "descriptor",
                "manifest",
                "index",
                "peers",
                "chunks/0",
                "symbols/0/0",
                "selection/0",
            )
        ),
        ("POST", "/uploads"),
        ("GET", "/uploads/u1/held"),
    ]
    for method, path in asked:
        headers = {**client.headers, PROOF_HEADER: "none"}
        answer = lab.http.request(method, f"/api/v1{path}", headers=headers, json={"state": "ready"})
        assert answer.status_code == 401, (method, path, answer.text)


def registering(lab: ServerLab, body: bytes, proof: str) -> Any:
    headers = {"Content-Type": "application/json", PROOF_HEADER: proof}
    return lab.http.post(CLIENTS, content=body, headers=headers)


def challenged(lab: ServerLab, client: FakeClient) -> tuple[bytes, Prover]:
    body = json.dumps(client.registration.to_json()).encode()
    nonce = registering(lab, body, "").headers[NONCE_HEADER]
    return body, Prover(client.key, CERTIFICATE, nonce=nonce)


def test_a_registration_counts_once(lab: ServerLab) -> None:
    body, prover = challenged(lab, FakeClient(lab, 1))
    proof = prover.header("POST", CLIENTS, body)
    assert registering(lab, body, proof).status_code == 200
    answer = registering(lab, body, proof)
    assert answer.status_code == 401
    assert "used before" in answer.json()["error"]


def test_a_stale_challenge_is_answered_with_a_fresh_one(lab: ServerLab) -> None:
    body, prover = challenged(lab, FakeClient(lab, 1))
    proof = prover.header("POST", CLIENTS, body)
    lab.clock.now += CHALLENGE_SECONDS + 1
    answer = registering(lab, body, proof)
    assert answer.status_code == 401
    prover.nonce = answer.headers[NONCE_HEADER]
    assert registering(lab, body, prover.header("POST", CLIENTS, body)).status_code == 200


def test_a_registration_is_by_the_key_that_it_names(lab: ServerLab) -> None:
    client = FakeClient(lab, 1)
    body, prover = challenged(lab, client)
    forged = body.replace(client.key.public.hex().encode(), SigningKey(bytes(32)).public.hex().encode())
    assert registering(lab, forged, prover.header("POST", CLIENTS, forged)).status_code == 401
    assert registering(lab, forged, prover.header("POST", CLIENTS, body)).status_code == 401
    assert lab.clients.all() == []


def test_an_answer_to_one_registration_is_no_nonce_for_requests(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    _, prover = challenged(lab, client)
    stolen = prover_of(client, nonce=prover.nonce)
    assert with_proof(client, stolen.header("GET", orders(client))).status_code == 401


def test_used_challenges_are_bounded(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MOST_USED", 2)
    for number in (1, 2):
        FakeClient(lab, number).register()
    assert FakeClient(lab, 3).ask_in().status_code == 503
    lab.clock.now += CHALLENGE_SECONDS + 5
    FakeClient(lab, 3).register()


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "AB" * 32, "ab" * 33])
def test_a_key_that_is_none_is_refused(lab: ServerLab, key: str) -> None:
    client = FakeClient(lab, 1)
    client.registration = dataclasses.replace(client.registration, key=key)
    assert client.ask_in().status_code == 422
    assert lab.clients.all() == []


@pytest.mark.parametrize(
    ("control", "new", "said"),
    [
        (1, {}, "older"),
        (CONTROL + 1, {}, "newer"),
        (CONTROL + 1, {"locale": "de"}, "newer"),
        (CONTROL + 1, {"machine": "elsewhere now", "version": "3.0\n\ud800"}, "version 3.0?? "),
    ],
)
def test_another_version_is_refused_in_words(
    lab: ServerLab, control: int, new: dict[str, Any], said: str
) -> None:
    body = FakeClient(lab, 1).registration.to_json() | {"control": control} | new
    answer = registering(lab, json.dumps(body).encode(), "")
    assert answer.status_code == 403
    assert said in answer.json()["error"]
    assert f"(control {control})" in answer.json()["error"]
    assert "boot image" in answer.json()["hint"]


@pytest.mark.parametrize("control", [True, None, "3", -1 << 64, 1 << 64, [CONTROL]])
def test_a_version_that_is_none_is_a_malformed_registration(lab: ServerLab, control: Any) -> None:
    body = FakeClient(lab, 1).registration.to_json() | {"control": control}
    assert registering(lab, json.dumps(body).encode(), "").status_code == 422
    assert lab.clients.all() == []


def test_a_field_that_is_unknown_in_this_version_is_malformed(lab: ServerLab) -> None:
    body = FakeClient(lab, 1).registration.to_json() | {"locale": "de"}
    answer = registering(lab, json.dumps(body).encode(), "")
    assert answer.status_code == 422
    assert "not the fields" in answer.json()["error"]


def test_a_client_of_before_the_proofs_is_refused_in_words(lab: ServerLab) -> None:
    said = FakeClient(lab, 1).registration.to_json()
    for new in ("control", "key", "clock"):
        del said[new]
    answer = lab.http.post(CLIENTS, json=said)
    assert answer.status_code == 403
    assert "older" in answer.json()["error"]


_hostile = ServerLab()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.text(max_size=100))
def test_hostile_registrations_leave_nothing(body: bytes, proof: str) -> None:
    header = proof.encode("ascii", "replace").decode()
    answer = registering(_hostile, body, header.replace("\r", " ").replace("\n", " "))
    assert 400 <= answer.status_code < 500, answer.text
    assert _hostile.clients.all() == []

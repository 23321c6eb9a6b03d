"""Proofs of clients' requests: what was signed counts once, and nothing else does."""

from __future__ import annotations

import dataclasses

import pytest
from castcore.control import Registered, Registration
from castcore.errors import BadPacket, Untrusted
from castcore.proof import WINDOW, Asked, Proof, Prover, Window
from castcore.trust import SigningKey
from hypothesis import given
from hypothesis import strategies as st

KEY, OTHER = SigningKey(bytes(32)), SigningKey(bytes([7]) * 32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ASKED = st.builds(Asked, st.binary(min_size=32, max_size=32), TEXT, TEXT, TEXT, st.binary(max_size=50))


def proof_of(asked: Asked, nonce: str = "ab") -> Proof:
    prover = Prover(KEY, asked.server, asked.token, nonce)
    return Proof.parse(prover.header(asked.method, asked.target, asked.body))


def covered(asked: Asked) -> Asked:
    """What a proof covers of it: the body only of who has no token yet."""
    return dataclasses.replace(asked, body=b"") if asked.token else asked


@given(ASKED)
def test_a_proof_is_of_its_request_and_by_its_key(asked: Asked) -> None:
    proof = proof_of(asked)
    proof.require(covered(asked), KEY.public)
    assert Proof.parse(proof.spelled()) == proof
    with pytest.raises(Untrusted):
        proof.require(covered(asked), OTHER.public)


@given(ASKED, ASKED)
def test_a_proof_of_one_request_is_none_of_another(asked: Asked, other: Asked) -> None:
    if covered(asked) != covered(other):
        with pytest.raises(Untrusted):
            proof_of(asked).require(covered(other), KEY.public)


@given(ASKED, st.text("0123456789abcdef", min_size=1, max_size=20), st.integers(1, 10**14))
def test_neither_nonce_nor_number_can_be_changed(asked: Asked, nonce: str, number: int) -> None:
    proof = proof_of(asked)
    changed = dataclasses.replace(proof, nonce=nonce, number=number)
    if changed != proof:
        with pytest.raises(Untrusted):
            changed.require(covered(asked), KEY.public)


@given(st.text(max_size=300))
def test_what_is_no_proof_is_a_bad_packet(text: str) -> None:
    with pytest.raises(BadPacket):
        Proof.parse(text)


def test_without_a_nonce_nothing_is_signed() -> None:
    assert Prover(KEY, bytes(32)).header("POST", "/api/v1/clients", b"{}") == ""


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=200))
def test_each_number_is_taken_once(numbers: list[int]) -> None:
    window, taken, top = Window(), set[int](), 0
    for number in numbers:
        fresh = number not in taken and number > top - WINDOW
        assert window.take(number) is fresh
        if fresh:
            taken.add(number)
            top = max(top, number)


@given(st.permutations(range(1, 60)))
def test_requests_may_overtake_each_other(numbers: list[int]) -> None:
    window = Window()
    assert all(window.take(number) for number in numbers)
    assert not any(window.take(number) for number in numbers)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_hostile_messages_are_bad_packets(value: object) -> None:
    for kind in (Registration, Registered):
        try:
            kind.from_json(value)
        except BadPacket:
            continue

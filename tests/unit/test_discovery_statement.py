"""A server's signed statement: read back whole, and by nobody else's key."""

from __future__ import annotations

import json

import pytest
from castcore.errors import BadPacket, Untrusted
from castcore.statement import MOST_BYTES, ServerStatement, encode_statement, open_statement
from castcore.trust import SigningKey

KEY = SigningKey(bytes(range(32)))
STATEMENT = ServerStatement(KEY.public, b"c" * 32, "https://192.0.2.1:8443", "Büro")
DATA = encode_statement(STATEMENT, KEY)


def test_it_is_read_back_whole() -> None:
    assert open_statement(DATA, KEY.public) == STATEMENT


def test_another_key_than_the_expected_is_named() -> None:
    with pytest.raises(Untrusted, match="not the expected"):
        open_statement(DATA, bytes(32))


def test_a_statement_signed_by_somebody_else_is_refused() -> None:
    forged = encode_statement(STATEMENT, SigningKey(bytes(32)))
    with pytest.raises(Untrusted, match="signature"):
        open_statement(forged, KEY.public)


@pytest.mark.parametrize("field", ["key", "certificate_digest", "url", "name", "signature", "format"])
@pytest.mark.parametrize("value", [None, 7, "zz", "00", [], {}])
def test_a_wrong_field_is_never_taken(field: str, value: object) -> None:
    data = json.dumps({**json.loads(DATA), field: value}).encode()
    with pytest.raises((BadPacket, Untrusted)):
        open_statement(data, KEY.public)


def test_an_endless_one_is_not_read() -> None:
    with pytest.raises(BadPacket, match="limit"):
        open_statement(DATA + b" " * MOST_BYTES, KEY.public)

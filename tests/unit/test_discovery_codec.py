"""DISCOVER and OFFER: what goes in comes out, and nothing hostile gets through."""

from __future__ import annotations

import dataclasses

import pytest
from castcore.cast import discovery
from castcore.cast.discovery import Discover, Offer
from castcore.edge.cast.responder import AnswerLimit
from castcore.errors import BadPacket
from castcore.trust import SigningKey

KEY = SigningKey(bytes(range(32)))
OFFER = Offer(
    nonce=b"n" * 16,
    server_key=KEY.public,
    url="https://192.0.2.1:8443",
    certificate_digest=b"c" * 32,
    name="Werkstatt Süd",
    casts_open=("c1", "c2"),
)


def test_discover_round_trip() -> None:
    discover = Discover(b"u" * 16, b"n" * 16)
    data = discovery.encode_discover(discover)
    assert discovery.parse_discover(data) == discover


def test_a_discover_is_as_large_as_the_largest_offer() -> None:
    largest = dataclasses.replace(
        OFFER, url="u" * discovery.MOST_URL, name="n" * discovery.MOST_NAME, casts_open=("c" * 36,) * 9
    )
    answer = discovery.encode_offer(largest, KEY)
    assert len(answer) <= len(discovery.encode_discover(Discover(bytes(16), bytes(16))))
    assert len(discovery.parse_offer(answer).casts_open) == discovery.MOST_CASTS


def test_offer_round_trip() -> None:
    assert discovery.parse_offer(discovery.encode_offer(OFFER, KEY)) == OFFER


def test_an_offer_with_any_bit_flipped_is_refused() -> None:
    data = discovery.encode_offer(OFFER, KEY)
    for position in range(len(data)):
        forged = bytearray(data)
        forged[position] ^= 1 << (position % 8)
        with pytest.raises(BadPacket):
            discovery.parse_offer(bytes(forged))


def test_an_offer_cut_short_or_lengthened_is_refused() -> None:
    data = discovery.encode_offer(OFFER, KEY)
    for end in range(len(data)):
        with pytest.raises(BadPacket):
            discovery.parse_offer(data[:end])
    with pytest.raises(BadPacket):
        discovery.parse_offer(data + b"\0")


def test_an_offer_naming_anothers_key_is_refused() -> None:
    stranger = SigningKey(bytes(32))
    with pytest.raises(BadPacket, match="not signed by the key it names"):
        discovery.parse_offer(discovery.encode_offer(OFFER, stranger))


def test_an_overlong_text_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        discovery.encode_offer(dataclasses.replace(OFFER, name="x" * 65), KEY)


@pytest.mark.parametrize("data", [b"", b"\x1e", b"\x1f" * 36, b"\x1e" + bytes(35), bytes(768)])
def test_what_is_no_discover_is_refused(data: bytes) -> None:
    with pytest.raises(BadPacket):
        discovery.parse_discover(data)


def test_answers_are_limited_per_sender_and_in_all() -> None:
    limit = AnswerLimit(most=5, per_sender=2)
    assert [limit.allow("a", 10.0) for _ in range(3)] == [True, True, False]
    assert [limit.allow(s, 10.5) for s in "bcde"] == [True, True, True, False]
    assert limit.allow("a", 11.0)

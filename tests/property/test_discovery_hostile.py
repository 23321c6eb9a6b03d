"""No bytes from the network make discovery raise anything but BadPacket."""

from __future__ import annotations

import contextlib

from castcore.cast import discovery
from castcore.cast.discovery import Offer
from castcore.edge.net.pinned import zoned
from castcore.errors import BadPacket, FleetcastError
from castcore.statement import ServerStatement, encode_statement, open_statement
from castcore.trust import SIGNATURE_SIZE, SigningKey
from hypothesis import given
from hypothesis import strategies as st

KEY = SigningKey(bytes(32))
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=16)


@given(st.binary(max_size=discovery.MOST_BYTES + 8))
def test_any_bytes_are_bad_packets_or_messages(data: bytes) -> None:
    for parse in (discovery.parse_discover, discovery.parse_offer):
        with contextlib.suppress(BadPacket):
            parse(data)


@given(st.binary(max_size=200), st.integers(0, 6))
def test_a_signed_but_malformed_offer_is_a_bad_packet(tail: bytes, count: int) -> None:
    head = bytes([0x1F, 0]) + count.to_bytes(2, "big") + bytes(16) + KEY.public + bytes(32)
    body = head + tail
    data = body + KEY.sign("offer", body)
    assert len(data) - len(body) == SIGNATURE_SIZE
    with contextlib.suppress(BadPacket):
        offer = discovery.parse_offer(data)
        assert discovery.encode_offer(offer, KEY) == data


@given(TEXTS, TEXTS, st.lists(TEXTS.filter(lambda t: len(t.encode()) <= 36), max_size=4))
def test_offers_survive_the_wire(url: str, name: str, casts: list[str]) -> None:
    offer = Offer(bytes(16), KEY.public, url, bytes(32), name, tuple(casts))
    assert discovery.parse_offer(discovery.encode_offer(offer, KEY)) == offer


@given(TEXTS | st.builds("https://[{}]:{}/".format, TEXTS, TEXTS))
def test_no_text_in_place_of_an_address_breaks_its_reader(url: str) -> None:
    assert zoned(url, "eth0") == url or "%eth0]" in zoned(url, "eth0")


@given(st.binary(max_size=300))
def test_any_bytes_are_no_statement(data: bytes) -> None:
    with contextlib.suppress(FleetcastError):
        open_statement(data, KEY.public)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_statement_with_a_changed_byte_is_refused(position: int, flip: int) -> None:
    good = ServerStatement(KEY.public, bytes(32), "https://192.0.2.1:8443", "shop")
    data = bytearray(encode_statement(good, KEY))
    data[position % len(data)] ^= flip
    with contextlib.suppress(FleetcastError):
        # Canonical JSON has one spelling, but hex digits may change case: same value, same trust.
        assert open_statement(bytes(data), KEY.public) == good

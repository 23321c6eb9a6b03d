"""Control datagrams: both ways, signed or tagged, and one error for everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.cast import messages, wire
from castcore.cast.constants import ADVERTS_SIZE_MAX, NACKS_MAX
from castcore.cast.data import DATA_TYPE, HEADER, split
from castcore.cast.states import ClientClass, SenderState
from castcore.errors import BadPacket
from castcore.trust import SigningKey, keyed_tag
from hypothesis import given
from hypothesis import strategies as st

SESSION = 0x01020304
KEY = SigningKey(bytes(range(32)))
TAG_KEY = b"k" * 32
BEACON = messages.Beacon(
    *(SESSION, 7, SenderState.LAP, 123456789, 0xFFFFFFFE, 10, 9, 2, 3, 50_000_000, 200, 1000),
    (messages.StripeCounts(4, bytes([0, 1, 2])), messages.StripeCounts(3, bytes(16))),
)
FEEDBACK = messages.Feedback(
    *(
        5,
        SESSION,
        9,
        ClientClass.DISK_SLOW,
        messages.FeedbackFlag.SHEDDING,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
    ),
    11,
    (messages.StripeCounts(4, bytes([0, 1, 2])),),
)
BITMAP = messages.Bitmap(5, SESSION, 10, ClientClass.OK, 77, 8, 9, b"\x01\x01")
FIN = messages.Fin(5, SESSION, 11, bytes(range(32)))


def key_of(number: int) -> bytes | None:
    return TAG_KEY if number == 5 else None


def test_server_packets_both_ways() -> None:
    ack, abort = messages.FinAck(5, SESSION, 3), messages.Abort(SESSION)
    for packet, value in (
        (wire.encode_beacon(BEACON, KEY), BEACON),
        (wire.encode_fin_ack(ack, KEY), ack),
        (wire.encode_abort(abort, KEY), abort),
    ):
        assert wire.open_from_server(packet, SESSION, KEY.public) == value


def test_client_packets_both_ways() -> None:
    for packet, value in (
        (wire.encode_feedback(FEEDBACK, TAG_KEY), FEEDBACK),
        (wire.encode_bitmap(BITMAP, TAG_KEY), BITMAP),
        (wire.encode_fin(FIN, TAG_KEY), FIN),
    ):
        assert wire.open_from_client(packet, SESSION, key_of) == value


def test_feedback_has_the_documented_size() -> None:
    entry = messages.StripeCounts(1, bytes(16))
    assert len(wire.encode_feedback(replace(FEEDBACK, nacks=(entry,)), TAG_KEY)) == 60 + 21 + 16


def test_packets_stay_below_one_datagram() -> None:
    many = tuple(messages.StripeCounts(i, bytes(16)) for i in range(500))
    beacon = wire.encode_beacon(replace(BEACON, adverts=many), KEY)
    assert len(beacon) <= 52 + ADVERTS_SIZE_MAX + 64
    opened = wire.open_from_server(beacon, SESSION, KEY.public)
    assert isinstance(opened, messages.Beacon)
    assert opened.adverts == many[: len(opened.adverts)]
    feedback = wire.encode_feedback(replace(FEEDBACK, nacks=many), TAG_KEY)
    assert len(feedback) == 60 + 21 * NACKS_MAX + 16 <= 1452


@pytest.mark.parametrize("bit", [0, 8 * 4, 8 * 20 + 3, -1, -8 * 64 - 1])
def test_a_flipped_bit_of_the_server_is_noticed(bit: int) -> None:
    packet = wire.encode_beacon(BEACON, KEY)
    at = bit % (8 * len(packet))
    forged = bytearray(packet)
    forged[at // 8] ^= 1 << at % 8
    with pytest.raises(BadPacket):
        wire.open_from_server(bytes(forged), SESSION, KEY.public)


def test_another_session_another_client_another_key() -> None:
    beacon, feedback = wire.encode_beacon(BEACON, KEY), wire.encode_feedback(FEEDBACK, TAG_KEY)
    for work in (
        lambda: wire.open_from_server(beacon, SESSION + 1, KEY.public),
        lambda: wire.open_from_server(beacon, SESSION, SigningKey(bytes(32)).public),
        lambda: wire.open_from_client(feedback, SESSION + 1, key_of),
        lambda: wire.open_from_client(feedback, SESSION, lambda _: b"x" * 32),
        lambda: wire.open_from_client(feedback, SESSION, lambda _: None),
        lambda: wire.open_from_client(beacon, SESSION, lambda _: TAG_KEY),
        lambda: wire.open_from_server(feedback, SESSION, KEY.public),
    ):
        with pytest.raises(BadPacket):
            work()


def signed(body: bytes) -> bytes:
    return body + KEY.sign(wire.PURPOSE, body)


def tagged(body: bytes) -> bytes:
    return body + keyed_tag(TAG_KEY, body, wire.TAG_SIZE)


@given(kind=st.integers(0, 255), rest=st.binary(max_size=200), whole=st.booleans())
def test_authentic_nonsense_is_a_bad_packet(kind: int, rest: bytes, *, whole: bool) -> None:
    """Even who holds the keys can make nothing but a value or BadPacket."""
    session = SESSION.to_bytes(4, "big")
    body = bytes([kind]) + b"\x00\x00\x05" + session + rest if whole else bytes([kind]) + rest
    for work in (
        lambda: wire.open_from_server(signed(body), SESSION, KEY.public),
        lambda: wire.open_from_client(tagged(body), SESSION, key_of),
        lambda: wire.open_from_client(body, SESSION, key_of),
        lambda: wire.open_from_server(body, SESSION, KEY.public),
    ):
        try:
            assert work() is not None
        except BadPacket:
            continue


@given(cut=st.integers(0, 200))
def test_cut_lists_are_bad_packets(cut: int) -> None:
    whole = wire.encode_feedback(FEEDBACK, TAG_KEY)[: -wire.TAG_SIZE]
    if cut < len(whole):
        with pytest.raises(BadPacket):
            wire.open_from_client(tagged(whole[:cut]), SESSION, key_of)


def test_data_header_is_28_bytes_in_the_documented_order() -> None:
    assert HEADER.itemsize == 28
    offsets = {name: HEADER.fields[name][1] for name in HEADER.names or () if HEADER.fields}
    assert offsets == {
        "vt": 0,
        "flags": 1,
        "stream": 2,
        "selection": 3,
        "session": 4,
        "block": 8,
        "stripe": 12,
        "row": 13,
        "symbols": 14,
        "pseq": 16,
        "tag": 20,
    }


def test_a_burst_splits_without_copying() -> None:
    burst = memoryview(bytes([DATA_TYPE]) * (3 * 1452))
    headers, symbols = split(burst)
    assert len(headers) == len(symbols) == 3
    assert symbols.shape == (3, 1424)
    for size in (0, 1451, 1453):
        with pytest.raises(BadPacket):
            split(memoryview(bytes(size)))

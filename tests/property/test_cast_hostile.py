"""Whatever comes from the network, a cast's parsers give a value or BadPacket, its cores a decision."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np
from castcore import canonical
from castcore.cast import descriptor, messages, wire
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.data import HEADER, datagram
from castcore.cast.outputs import Wait
from castcore.cast.protection import Protection, unseal
from castcore.cast.receiver import ReceiverCore
from castcore.cast.sender import SenderCore
from castcore.cast.sieve import Sieve
from castcore.cast.states import ClientClass, SenderState
from castcore.cast.values import JoinAnswer
from castcore.cast.vetting import Vetting
from castcore.errors import BadPacket, Untrusted
from castcore.trust import SigningKey, digest
from hypothesis import example, given
from hypothesis import strategies as st

KEY = SigningKey(bytes(range(32)))
SESSION = 7
ROOT = digest(b"image")
TABLE = BlockTable.build([900_000, 0, 70_000] * 12)

u8, u16, u32 = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 70) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
near = st.one_of(st.integers(0, len(TABLE) + 1), u32)
headers = st.tuples(
    *(st.sampled_from([0x11, 0x12, 0x21]), u8, st.integers(0, 2), st.integers(0, 2)),
    *(st.sampled_from([SESSION, SESSION, 8]), near, st.one_of(st.integers(0, 16), u8), u8),
    *(st.sampled_from([*TABLE.symbols.tolist(), 0, 0xFFFF]), u32, st.just(0)),
)


@example([(0x11, 0, 0, 0, SESSION, 0, 0, 0, 0, 0, 0)], 1)
@given(st.lists(headers, min_size=1, max_size=20), st.integers(1, 3))
def test_any_data_headers_are_placed_or_ignored(columns: list[Any], buffers: int) -> None:
    core = ReceiverCore(TABLE, ROOT, buffers=buffers)
    core.on_joined(0.0, SESSION, JoinAnswer(1, b"k" * 32, 0))
    burst = np.array(columns, HEADER)
    for now in (0.1, 0.2):
        for scatter in core.on_headers(now, burst):
            rows = int(TABLE.symbols[scatter.block]) + 64 * int(TABLE.stripes[scatter.block])
            assert (scatter.rows < rows).all()
            assert len(scatter.rows) == len(scatter.picks)
        core.poll(now)
        number = messages.Beacon(SESSION, int(now * 10), SenderState.PASS, 0, 5, 1, 0, 1, 1, 1, 200, 100)
        core.on_control(now, number)


@given(
    count=st.integers(0, 3), more=st.sampled_from([0, 0, 1, 1451]), noise=st.randoms(), mac=st.booleans()
)
def test_any_burst_is_sifted_or_a_bad_packet(
    count: int, more: int, noise: random.Random, *, mac: bool
) -> None:
    sieve = Sieve(TABLE)
    sieve.renew(Protection(tag_key=b"t" * 32) if mac else Protection())
    burst = bytearray(noise.randbytes(count * 1452 + more))
    try:
        kept, symbols = sieve.sift(memoryview(burst))
    except BadPacket:
        assert more or not count
    else:
        assert len(kept) == len(symbols) == (0 if mac else count), "a tag was guessed"


@given(st.lists(headers, min_size=1, max_size=20))
def test_any_packet_of_a_suspect_block_is_judged(columns: list[Any]) -> None:
    sieve = Sieve(TABLE)
    rows = int(TABLE.symbols[0]) + 64 * int(TABLE.stripes[0])
    sieve.vetting.learn(0, bytes(8 * rows))
    packets = np.zeros(len(columns), datagram())
    packets["header"] = np.array(columns, HEADER)
    kept, _ = sieve.sift(memoryview(bytearray(packets.tobytes())))
    stripes, count = int(TABLE.stripes[0]), int(TABLE.symbols[0])
    for header in kept[kept["block"] == 0]:
        stripe, row = int(header["stripe"]), int(header["row"])
        # What has no place in the block is for the core to refuse.
        assert stripe >= stripes or (row < 192 and row * stripes + stripe >= count)


@given(st.binary(max_size=200))
def test_any_digests_are_learnt_or_a_bad_packet(data: bytes) -> None:
    with contextlib.suppress(BadPacket):
        Vetting(TABLE).learn(0, data)
        raise AssertionError("too few digests were taken")


@given(
    json_values
    | st.dictionaries(st.sampled_from(list(JoinAnswer(1, bytes(32), 0).to_json())), json_values)
)
def test_any_answer_to_a_join_is_one_or_a_bad_packet(value: Any) -> None:
    with contextlib.suppress(BadPacket):
        assert isinstance(JoinAnswer.from_json(value), JoinAnswer)


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=4), st.data())
def test_any_signed_descriptor_is_one_or_a_bad_packet(
    extra: dict[str, Any], data: st.DataObject
) -> None:
    good = descriptor.CastDescriptor(
        *(1, "win11", KEY.public, b"s" * 32, b"r" * 32, b"m" * 32, b"l" * 32, 9, 99, 1424),
        *("239.193.1.1", 7100, "10.0.0.1:7101"),
    )
    value = canonical.decode(descriptor.encode_descriptor(good, KEY), limit=1 << 16)["descriptor"]
    name = data.draw(st.sampled_from(sorted(value)))
    value = value | extra | {name: data.draw(json_values)}
    signature = KEY.sign(descriptor.PURPOSE, canonical.encode(value))
    document = canonical.encode({"descriptor": value, "signature": signature.hex()})
    with contextlib.suppress(BadPacket, Untrusted):
        assert descriptor.open_descriptor(document, KEY.public)


@given(st.binary(max_size=300), st.integers(0, 5000))
def test_any_chunk_set_is_one_or_a_bad_packet(data: bytes, count: int) -> None:
    with contextlib.suppress(BadPacket):
        assert len(ChunkSet.decode(data, count).mask()) == count


@given(st.binary(max_size=100), st.integers(0, 1 << 32))
def test_any_sealed_chunk_is_untrusted(data: bytes, chunk: int) -> None:
    with contextlib.suppress(Untrusted):
        unseal(b"s" * 32, chunk, data)
        raise AssertionError("a seal was guessed")


counts = st.builds(messages.StripeCounts, near, st.binary(min_size=1, max_size=16))
feedbacks = st.builds(
    messages.Feedback,
    client=st.just(1),
    session=st.just(SESSION),
    number=u32,
    kind=st.sampled_from(ClientClass),
    flags=st.sampled_from(messages.FeedbackFlag),
    **dict.fromkeys(("echo_time_us", "echo_delay_us", "seen", "received", "net_lost"), u32),
    **dict.fromkeys(("host_drop", "shed_blocks", "have_blocks", "chunks"), u32),
    nacks=st.lists(counts, max_size=5).map(tuple),
)
bitmaps = st.integers(0, 80).flatmap(
    lambda count: st.builds(
        messages.Bitmap,
        client=st.just(1),
        session=st.just(SESSION),
        number=u32,
        kind=st.sampled_from(ClientClass),
        seen=u32,
        base=near,
        count=st.just(count),
        bits=st.binary(min_size=-(-count // 8), max_size=-(-count // 8)),
    )
)


@given(st.lists(feedbacks | bitmaps, max_size=12))
def test_a_client_may_say_anything_and_the_cast_goes_on(
    words: list[messages.Feedback | messages.Bitmap],
) -> None:
    sender, now = SenderCore(TABLE, SESSION, KEY, ROOT, 1e8), 0.0
    answer = sender.join(now, "liar", b"k" * 32)
    assert answer.client_number == 1
    sender.join(now, "honest", b"h" * 32)
    sender.start(now)
    sent = 0
    for word in words:
        for _ in range(20):
            out = sender.next_tx(now)
            sent += not isinstance(out, Wait)
            now += out.seconds if isinstance(out, Wait) else 1e-4
        packet = (
            wire.encode_feedback(word, b"k" * 32)
            if isinstance(word, messages.Feedback)
            else wire.encode_bitmap(word, b"k" * 32)
        )
        sender.on_client(now, wire.open_from_client(packet, SESSION, sender.key_of))
        sender.status()
    assert sent >= len(words)

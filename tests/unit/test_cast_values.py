"""Block table, descriptor, join answer, packet counting, pacing and the parity accounts."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from castcore.cast import middle
from castcore.cast.arrival import Arrival
from castcore.cast.blocks import BlockTable, lengths_digest
from castcore.cast.descriptor import CastDescriptor, encode_descriptor, open_descriptor
from castcore.cast.pacing import TokenBucket, burst_packets
from castcore.cast.protection import Protection
from castcore.cast.repairs import Repairs
from castcore.cast.states import RECEIVER, SENDER, ReceiverState, SenderState
from castcore.cast.values import JoinAnswer
from castcore.errors import BadImage, BadPacket, Untrusted
from castcore.trust import SigningKey
from hypothesis import given
from hypothesis import strategies as st

BLOCK_MAX = 1424 * 192 * 16
KEY = SigningKey(bytes(range(32)))
ANSWER = JoinAnswer(1, bytes(32), 0).to_json()
DESCRIPTOR = CastDescriptor(
    *(1, "win11", KEY.public, b"s" * 32, b"r" * 32, b"m" * 32, b"l" * 32, 9, 99, 1424),
    *("239.193.1.1", 7100, "10.0.0.1:7101"),
)


@given(st.lists(st.one_of(st.just(0), st.integers(1, 1_500_000)), max_size=60))
def test_blocks_hold_every_travelling_chunk_once_in_order(lengths: list[int]) -> None:
    table = BlockTable.build(lengths)
    pieces = [piece for b in range(len(table)) for piece in table.pieces(b)]
    assert [(p.chunk, p.length) for p in pieces] == [(i, n) for i, n in enumerate(lengths) if n]
    for block in range(len(table)):
        inside = table.pieces(block)
        assert inside[0].start == 0
        for one, two in pairwise(inside):
            assert two.start == one.start + one.length
        assert int(table.sizes[block]) == inside[-1].start + inside[-1].length <= BLOCK_MAX
        rows = [table.rows(block, s) for s in range(int(table.stripes[block]))]
        assert sum(rows) == table.symbols[block] == -(-int(table.sizes[block]) // 1424)
        assert max(rows) <= 192
    for block in range(len(table) - 1):
        following = table.pieces(block + 1)[0].length
        assert int(table.sizes[block]) + following > BLOCK_MAX, "a block was closed too early"


def test_a_chunk_larger_than_a_block_is_refused() -> None:
    assert len(BlockTable.build([BLOCK_MAX])) == 1
    with pytest.raises(BadImage):
        BlockTable.build([BLOCK_MAX + 1])


def test_lengths_digest_tells_tables_apart() -> None:
    assert lengths_digest([1, 2]) != lengths_digest([2, 1]) != lengths_digest([2, 1, 0])


def test_descriptor_both_ways() -> None:
    assert open_descriptor(encode_descriptor(DESCRIPTOR, KEY), KEY.public) == DESCRIPTOR
    assert DESCRIPTOR.feedback_address == ("10.0.0.1", 7101)


def test_a_descriptor_by_another_key_is_untrusted() -> None:
    other = SigningKey(bytes(32))
    with pytest.raises(Untrusted):
        open_descriptor(encode_descriptor(DESCRIPTOR, other), KEY.public)
    stolen = replace(DESCRIPTOR, server_key=other.public)
    with pytest.raises(Untrusted):
        open_descriptor(encode_descriptor(stolen, KEY), KEY.public)


def test_a_changed_descriptor_is_untrusted() -> None:
    document = json.loads(encode_descriptor(DESCRIPTOR, KEY))
    document["descriptor"]["port"] = 7102
    with pytest.raises(Untrusted):
        open_descriptor(json.dumps(document).encode(), KEY.public)


@pytest.mark.parametrize(
    "change",
    [
        {"port": 1 << 16},
        {"symbol_size": 1400},
        {"feedback": "nowhere"},
        {"root": b"r"},
        {"session": -1},
        {"mac": 1},
    ],
)
def test_a_signed_descriptor_that_makes_no_sense_is_a_bad_packet(change: dict[str, Any]) -> None:
    with pytest.raises(BadPacket):
        open_descriptor(encode_descriptor(replace(DESCRIPTOR, **change), KEY), KEY.public)


@given(st.binary(max_size=80))
def test_no_descriptor_at_all(data: bytes) -> None:
    with pytest.raises((BadPacket, Untrusted)):
        open_descriptor(data, KEY.public)


def test_join_answer_both_ways() -> None:
    for protection in (Protection(), Protection(b"t" * 32, b"s" * 32)):
        for peer_key in (b"", b"p" * 32):
            answer = JoinAnswer(3, b"k" * 32, 17, protection, peer_key)
            assert JoinAnswer.from_json(json.loads(json.dumps(answer.to_json()))) == answer
        answer.require(mac=bool(protection.tag_key), encrypt=bool(protection.seal_key))
        with pytest.raises(BadPacket):
            answer.require(mac=not protection.tag_key, encrypt=bool(protection.seal_key))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        ANSWER | {"feedback_key": "00"},
        ANSWER | {"client_number": 1 << 16},
        ANSWER | {"client_number": "1"},
        ANSWER | {"feedback_key": 7},
        {"client_number": 1, "feedback_key": "00" * 32, "head": 0},
        ANSWER | {"head": True},
        ANSWER | {"head": -1},
        ANSWER | {"tag_key": "00" * 31},
        ANSWER | {"seal_key": "secret"},
        ANSWER | {"seal_key": None},
        ANSWER | {"peer_key": "00"},
        ANSWER | {"peer_key": None},
    ],
)
def test_a_malformed_join_answer(value: Any) -> None:
    with pytest.raises(BadPacket):
        JoinAnswer.from_json(value)


def test_every_state_has_a_row_and_the_last_ones_no_way_out() -> None:
    assert set(SENDER) == set(SenderState)
    assert set(RECEIVER) == set(ReceiverState)
    assert SENDER[SenderState.CLOSED] == {}
    assert RECEIVER[ReceiverState.DONE] == RECEIVER[ReceiverState.ABORTED] == {}
    assert [SenderState.from_code(s.code) for s in SenderState] == list(SenderState)


def test_packets_are_counted_over_the_wrap() -> None:
    arrival = Arrival()
    arrival.announced(0xFFFFFFFE)
    arrival.count(np.array([0xFFFFFFFE, 0xFFFFFFFF], ">u4"))
    arrival.count(np.array([2], ">u4"))
    assert (arrival.seen, arrival.received, arrival.net_lost) == (3, 3, 2)
    arrival.count(np.array([0], ">u4"))
    assert arrival.net_lost == 1
    arrival.host_drop = 1
    assert arrival.net_lost == 0


def test_a_far_counter_is_not_plausible_but_a_beacon_moves_it() -> None:
    arrival = Arrival()
    arrival.announced(5)
    arrival.count(np.array([5], ">u4"))
    far = np.array([5 + (1 << 30)], ">u4")
    assert not arrival.plausible(far)[0]
    arrival.announced(5 + (1 << 30))
    assert arrival.plausible(far)[0]


def test_the_bucket_sends_at_its_rate() -> None:
    bucket, now, sent = TokenBucket(), 0.0, 0
    while now < 1.0:
        pause = bucket.wait(now, 1e6)
        if pause:
            now += pause
        else:
            bucket.spend(14_520)
            sent += 14_520
    assert 0.97e6 <= sent <= 1.05e6


def test_time_lost_in_sleep_is_made_up_for_without_a_flood() -> None:
    bucket, now, sent = TokenBucket(), 0.0, []
    while now < 2.0:
        pause = bucket.wait(now, 100e6)
        if pause:
            now += max(pause, 0.004)  # a busy machine oversleeps
        else:
            bucket.spend(65_340)
            sent.append(now)
    assert len(sent) * 65_340 >= 0.95 * 2.0 * 100e6
    for start in np.arange(0, 1.9, 0.01):
        inside = sum(start <= at < start + 0.03 for at in sent) * 65_340
        assert inside <= 1.25 * 0.05 * 100e6 + 0.6e6


def test_bursts_grow_with_the_rate_within_bounds() -> None:
    assert [burst_packets(r, 1452) for r in (1e6, 50e6, 1e9)] == [8, 17, 180]
    assert [burst_packets(r, 8940) for r in (1e6, 50e6, 1e9)] == [1, 2, 29]


def accounts() -> tuple[BlockTable, Repairs]:
    table = BlockTable.build([400 * 1424])
    return table, Repairs(table)


def need(*counts: int) -> np.ndarray:
    return np.array(counts, np.uint8)


def test_the_group_gets_the_maximum_of_what_its_clients_need() -> None:
    _, repairs = accounts()
    assert repairs.need(0, need(2, 0, 1), 10, 0.5)
    assert repairs.need(0, need(1, 1, 1), 10, 0.5)
    assert repairs.ready(0.4) is None
    assert repairs.ready(0.5) == 0
    stripes, rows = repairs.take(0, 45, 10)
    assert sorted(stripes.tolist()) == [0, 0, 1, 2]
    assert sorted(rows.tolist()) == [192, 192, 192, 193]
    assert repairs.idle()


def test_what_is_on_its_way_is_not_sent_again() -> None:
    _, repairs = accounts()
    repairs.need(0, need(2, 0, 0), 10, 0.0)
    repairs.take(0, 45, 10)
    repairs.need(0, need(2, 0, 0), 10, 0.0)
    assert repairs.idle(), "a repeated word was heard as a new one"
    repairs.need(0, need(2, 0, 0), 12, 0.0)
    stripes, rows = repairs.take(0, 45, 12)
    assert (stripes.tolist(), rows.tolist()) == ([0, 0], [194, 195])


def test_used_up_parity_makes_a_hole_until_the_block_is_sent_again() -> None:
    _, repairs = accounts()
    for seen in range(0, 60, 20):
        assert repairs.need(0, need(20, 0, 0), seen, 0.0)
        repairs.take(0, 45, seen)
    assert not repairs.need(0, need(5, 0, 0), 60, 0.0)
    repairs.restart(0)
    assert repairs.need(0, need(5, 0, 0), 60, 0.0)
    assert repairs.take(0, 45, 60)[1].tolist() == [252, 253, 254, 255, 192]


def test_parity_that_every_block_needed_is_sent_before_anybody_asks() -> None:
    table = BlockTable.build([3000 * 1424] * 300)
    repairs, now, early = Repairs(table), 0.0, []
    for block in range(len(table)):
        now += 0.1
        repairs.sent(now, block, now - 0.35)
        if not repairs.idle():
            early.append(block)
            # Stripes in turn: a run of lost packets takes little of each.
            assert repairs.take(block, 45, block * 1000)[0].tolist() == [*range(16), *range(16)]
        elif block < 150:
            assert repairs.need(block, need(*[2, 3] * 8), block * 1000 - 1, now)
            repairs.take(block, 64, block * 1000)
    assert early, "nobody was spared the asking"
    assert early[0] >= 16
    assert all(block % 8 for block in early)
    assert early[-1] < 290, "the habit never ended"


def test_the_middle_is_that_of_statistics() -> None:
    for values in ([3], [1, 2], [5, 1, 3], [0.5, 0.25, 9, 2], [2, 2, 1, 1, 7, 0]):
        assert middle.median(values) == statistics.median(values)
        assert middle.median_low(values) == statistics.median_low(values)

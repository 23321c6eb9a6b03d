"""What keeps a forged packet from costing more than itself: vetting, admission, the packet counter."""

from __future__ import annotations

import numpy as np
import pytest
from castcore.cast.admission import Admission
from castcore.cast.arrival import WINDOW, Arrival
from castcore.cast.blocks import BlockTable
from castcore.cast.data import FLAG_TAGGED, HEADER, datagram
from castcore.cast.holding import Holding
from castcore.cast.messages import Beacon
from castcore.cast.parity import encode
from castcore.cast.protection import (
    SEAL_SIZE,
    Protection,
    authentic,
    seal,
    sealed_lengths,
    tag_burst,
    unseal,
)
from castcore.cast.sieve import Sieve
from castcore.cast.states import SenderState
from castcore.cast.suspects import ASKS_MAX, TRIES_MAX, TRY_PAUSE, Suspects
from castcore.cast.vetting import Vetting, block_digests, digests_size
from castcore.errors import BadPacket, Untrusted
from castcore.trust import keyed_tag

TABLE = BlockTable.build([1_000_000] * 40)
RANDOM = np.random.default_rng(7)


def symbols_of(block: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (int(TABLE.symbols[block]), TABLE.symbol_size), np.uint8)


def beacon(head: int, *, number: int = 1, rate: int = 100_000_000) -> Beacon:
    return Beacon(1, number, SenderState.PASS, 0, 0, head, head, 1, 1, rate, 200, 1000)


def buffer_of(symbols: np.ndarray, block: int) -> np.ndarray:
    stripes = int(TABLE.stripes[block])
    parity = [encode(symbols[s::stripes], np.arange(64)) for s in range(stripes)]
    return np.concatenate([symbols, *parity])


def headers_of(block: int, stripes: list[int], rows: list[int]) -> np.ndarray:
    headers = np.zeros(len(rows), HEADER)
    headers["block"], headers["stripe"], headers["row"] = block, stripes, rows
    return headers


def test_the_wrong_symbols_of_a_block_are_found_parity_included() -> None:
    symbols = symbols_of(0)
    buffer = buffer_of(symbols, 0)
    vetting = Vetting(TABLE)
    vetting.learn(0, block_digests(TABLE, 0, symbols))
    every = np.arange(len(buffer))
    assert not len(vetting.wrong(0, every, buffer))
    for row in (0, 17, len(symbols) - 1, len(symbols), len(buffer) - 1):
        buffer[row, row % 1424] ^= 1
    assert vetting.wrong(0, every, buffer).tolist() == [
        *(0, 17, len(symbols) - 1, len(symbols), len(buffer) - 1)
    ]
    assert vetting.wrong(0, np.array([16, 17, 18]), buffer).tolist() == [17]


def test_only_the_images_own_symbols_are_let_into_a_suspect_block() -> None:
    symbols = symbols_of(0)
    stripes = int(TABLE.stripes[0])
    vetting = Vetting(TABLE)
    vetting.learn(0, block_digests(TABLE, 0, symbols))
    third = encode(symbols[2::stripes], np.array([5]))[0]
    packets = np.stack([symbols[0], symbols[stripes], third, third, symbols[0]])
    headers = headers_of(0, [0, 0, 2, 3, 0], [0, 1, 192 + 5, 192 + 5, 1])
    assert vetting.good(headers, packets).tolist() == [True, True, True, False, False]
    # Another block is none of its business, nor is what has no place in this one.
    assert vetting.good(headers_of(1, [0], [0]), packets[:1]).tolist() == [True]
    vetting.good(headers_of(0, [255, 0], [0, 191]), packets[:2])
    vetting.forget(0)
    assert not vetting


@pytest.mark.parametrize("told", [b"", bytes(8), bytes(7 + digests_size(TABLE, 0))])
def test_digests_of_the_wrong_number_are_a_bad_packet(told: bytes) -> None:
    with pytest.raises(BadPacket):
        Vetting(TABLE).learn(0, told)


def test_a_suspect_block_is_asked_about_once_and_only_when_nothing_touches_it() -> None:
    suspects = Suspects()
    assert suspects.refused(3)
    assert suspects.refused(3)
    assert suspects.aside(3)
    assert suspects.ask(0.0, lambda _: False) == []
    assert suspects.ask(0.0, lambda _: True) == [3]
    assert suspects.ask(9.0, lambda _: True) == []
    suspects.vetted(3)
    assert not suspects.aside(3)
    assert not suspects.refused(3), "vetted symbols cannot be at fault"
    suspects.release(3)
    assert suspects.refused(3)


def test_few_blocks_are_asked_about_at_a_time_and_not_for_ever() -> None:
    suspects = Suspects()
    for block in range(10):
        suspects.refused(block)
    first = suspects.ask(0.0, lambda _: True)
    assert len(first) == ASKS_MAX
    now = 0.0
    for attempt in range(TRIES_MAX):
        assert suspects.unanswered(now, first[0]) == (attempt + 1 < TRIES_MAX)
        assert first[0] not in suspects.ask(now, lambda b: b == first[0])
        now += TRY_PAUSE
        suspects.ask(now, lambda b: b == first[0])
    assert not suspects.aside(first[0])


def test_a_far_block_gets_no_more_than_its_share_of_the_pool() -> None:
    admission, held = Admission(TABLE, 8), dict[int, Holding]()
    admission.heard(0.0, beacon(2))
    for block in range(len(TABLE) - 1, 4, -1):
        if admission.allows(0.01, block, held):
            held[block] = Holding(TABLE, block)
    assert len(held) == 2
    assert all(admission.allows(0.01, block, held) for block in (1, 2, 3, 4))
    # What is half there cost whoever forged it as much as it costs us.
    full = held[len(TABLE) - 1]
    index = np.arange(full.symbols)
    full.accept(index % full.stripes, index // full.stripes)
    assert admission.allows(0.01, 6, held)
    assert not admission.allows(0.01, 7, held | {6: Holding(TABLE, 6)})


def test_the_stream_may_be_where_its_rate_leads_since_the_last_beacon() -> None:
    admission, held = Admission(TABLE, 1), {9: Holding(TABLE, 9)}
    admission.heard(0.0, beacon(0))
    assert admission.allows(0.0, 9, {})
    assert not admission.allows(0.04, 5, held)
    assert admission.allows(0.2, 5, held)
    admission.heard(0.3, None)
    assert not admission.allows(0.3, 0, held)


def test_a_forged_packet_number_is_forgotten_with_the_next_beacon() -> None:
    arrival = Arrival()
    arrival.announced(1000)
    arrival.count(np.arange(1000, 1100))
    far = np.array([1100 + WINDOW - 200])
    assert arrival.plausible(far).all()
    arrival.count(far)
    arrival.announced(1200)
    arrival.count(np.arange(1200, 1300))
    assert arrival.seen == 1300
    assert arrival.net_lost == 99


@pytest.mark.parametrize("forged", [False, True])
def test_what_was_sent_while_we_were_away_is_not_lost(*, forged: bool) -> None:
    arrival = Arrival()
    arrival.announced(0)
    arrival.count(np.arange(90))
    arrival.announced(100)
    assert arrival.net_lost == 10
    if forged:
        arrival.count(np.array([900_000]))
    arrival.rest()
    arrival.announced(50_000)
    arrival.count(np.arange(50_005, 50_100))
    assert arrival.seen == 50_100
    assert arrival.net_lost == 15 - forged


def test_forged_packet_numbers_cannot_lead_away_from_the_stream() -> None:
    arrival = Arrival()
    arrival.count(np.array([77]))
    arrival.announced(0xFFFFFF00)
    for step in range(1, 10):
        far = np.array([(0xFFFFFF00 + step * (WINDOW - 1)) & 0xFFFFFFFF])
        if arrival.plausible(far).all():
            arrival.count(far)
    assert arrival.plausible(np.array([0xFFFFFF00, 5])).all()
    assert not arrival.plausible(np.array([0xFFFFFF00 + 2 * WINDOW - (1 << 32)])).any()


KEY = b"g" * 32


def burst_of(count: int) -> bytearray:
    packets = np.zeros(count, datagram())
    packets["header"]["vt"], packets["header"]["session"] = 0x11, 9
    packets["header"]["pseq"] = np.arange(count)
    packets["symbol"] = RANDOM.integers(0, 256, packets["symbol"].shape, np.uint8)
    return bytearray(packets.tobytes())


def test_a_tag_covers_every_bit_of_its_datagram() -> None:
    burst = burst_of(3)
    tag_burst(memoryview(burst), 1424, KEY)
    one = bytes(burst[:1452])
    assert one[20:28] == keyed_tag(KEY, one[:20] + bytes(8) + one[28:], 8)
    assert one[1] == FLAG_TAGGED
    for bit in (0, 8 * 1, 8 * 4, 8 * 12, 8 * 19 + 7, 8 * 20, 8 * 28, 8 * 1452 - 1):
        forged = bytearray(burst)
        forged[1452 + bit // 8] ^= 1 << bit % 8
        headers = np.frombuffer(memoryview(forged), datagram())["header"]
        assert authentic(memoryview(forged), headers, KEY).tolist() == [True, False, True]
    headers = np.frombuffer(memoryview(burst), datagram())["header"]
    assert not authentic(memoryview(burst), headers, b"x" * 32).any()


def test_a_cast_with_a_mac_lets_nothing_in_without() -> None:
    sieve, tagged, plain = Sieve(TABLE), burst_of(2), burst_of(2)
    tag_burst(memoryview(tagged), 1424, KEY)
    assert len(sieve.sift(memoryview(bytearray(plain)))[0]) == 2
    sieve.renew(Protection(tag_key=KEY))
    headers, symbols = sieve.sift(memoryview(tagged + plain + plain))
    assert headers["pseq"].tolist() == [0, 1]
    assert symbols.tobytes() == np.frombuffer(tagged, datagram())["symbol"].tobytes()


def test_a_sealed_chunk_opens_with_its_key_and_number_alone() -> None:
    stored = RANDOM.bytes(5000)
    sealed = seal(KEY, 7, stored)
    assert [len(sealed)] == sealed_lengths([5000]) == [5000 + SEAL_SIZE]
    assert sealed_lengths([0, 3]) == [0, 3 + SEAL_SIZE]
    assert stored[:100] not in sealed
    assert unseal(KEY, 7, memoryview(sealed)) == stored
    torn = bytearray(sealed)
    torn[2500] ^= 1
    for key, chunk, data in ((b"x" * 32, 7, sealed), (KEY, 8, sealed), (KEY, 7, torn), (KEY, 7, b"")):
        with pytest.raises(Untrusted):
            unseal(key, chunk, bytes(data))

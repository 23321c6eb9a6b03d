"""Datagrams of either size and either family: blocks, bursts, beacons, descriptors, membership."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from castcore.cast import messages, wire
from castcore.cast.blocks import BlockTable
from castcore.cast.constants import BLOCK_MAX, JUMBO_SYMBOL_SIZE
from castcore.cast.descriptor import CastDescriptor, encode_descriptor, open_descriptor
from castcore.cast.membership import (
    OTHER_QUERIER_SECONDS,
    WATCH_SECONDS,
    Querier,
    QuerierWatch,
    checksum,
    igmp_general_query,
    is_igmp_query,
    is_mld_query,
    mld_general_query,
)
from castcore.cast.ratecontrol import RateControl, Sample
from castcore.cast.states import SenderState
from castcore.errors import BadPacket
from castcore.trust import SIGNATURE_SIZE, SigningKey
from hypothesis import given
from hypothesis import strategies as st

KEY = SigningKey(bytes(range(32)))
BEACON = messages.Beacon(
    *(7, 1, SenderState.GATHER, 1, 0, 0, 0, 1, 3, 50_000_000, 200, 1000),
    (messages.StripeCounts(4, bytes([0, 1, 2])),),
)
IPV6 = CastDescriptor(
    *(1, "win11", KEY.public, b"s" * 32, b"r" * 32, b"m" * 32, b"l" * 32, 9, 99, JUMBO_SYMBOL_SIZE),
    *("ff15::fc:7:1", 7100, "[fd00::1]:7101"),
)


def test_a_jumbo_block_is_as_large_and_as_interleaved_as_any() -> None:
    """A burst of 64 KiB lost costs each stripe about three rows, whatever the datagrams' size."""
    for size, burst in ((1424, 45), (JUMBO_SYMBOL_SIZE, 7)):
        table = BlockTable.build([BLOCK_MAX, 1], size)
        assert [int(n) for n in table.sizes] == [BLOCK_MAX, 1]
        assert int(table.symbols[0]) == table.symbols_max == -(-BLOCK_MAX // size)
        assert int(table.stripes[0]) == table.stripes_max
        assert max(table.rows(0, s) for s in range(table.stripes_max)) <= 192
        assert -(-burst // table.stripes_max) == 3
        assert burst * table.datagram_size <= 65487, "more than IPv6 and UDP headers leave of 64 KiB"


def test_a_beacon_is_as_long_as_it_is_told_and_says_the_same() -> None:
    for size in (0, 1451, 8939):
        packet = wire.encode_beacon(BEACON, KEY, size)
        assert len(packet) >= size
        assert wire.open_from_server(packet, 7, KEY.public) == BEACON
    assert len(packet) == 8939


def test_what_pads_a_beacon_is_nothing() -> None:
    body = wire.encode_beacon(BEACON, KEY, 300)[:-SIGNATURE_SIZE]
    strange = body[:-1] + b"\1"
    with pytest.raises(BadPacket):
        wire.open_from_server(strange + KEY.sign(wire.PURPOSE, strange), 7, KEY.public)


def test_an_ipv6_cast_with_jumbo_datagrams_has_a_descriptor() -> None:
    assert open_descriptor(encode_descriptor(IPV6, KEY), KEY.public) == IPV6
    assert IPV6.feedback_address == ("fd00::1", 7101)


@pytest.mark.parametrize(
    "change",
    [
        {"group": "fd00::5"},
        {"group": "somewhere"},
        {"group": "239.193.1.1"},
        {"feedback": "[fd00::1]:0"},
        {"feedback": "[fd00::1]:70000"},
        {"feedback": "[fd00::1]:" + "9" * 5000},
        {"feedback": "10.0.0.1:7101"},
        {"symbol_size": 8911},
    ],
)
def test_addresses_that_do_not_fit_together_are_a_bad_packet(change: dict[str, Any]) -> None:
    with pytest.raises(BadPacket):
        open_descriptor(encode_descriptor(replace(IPV6, **change), KEY), KEY.public)


def test_a_polite_cast_gives_way_where_another_stays() -> None:
    """Half a percent, which falls when the rate falls: somebody else's traffic is in the way."""
    for polite, gives_way in ((False, False), (True, True)):
        control = RateControl(100e6, polite=polite)
        control.rate, control.slow_start = 80e6, False
        before = control.rate
        control.update(1.0, [Sample(0.005, 0.0)] * 4, before, 4)
        assert (control.rate < before) is gives_way


def test_a_polite_cast_keeps_its_rate_where_loss_is_the_mediums_own() -> None:
    control = RateControl(100e6, polite=True)
    control.rate, control.slow_start = 80e6, False
    for step in range(40):
        control.update(step * 0.25, [Sample(0.002, 0.0)] * 4, control.rate, 4)
    assert control.rate > 75e6


# -- queriers


def ipv4(body: bytes, options: bytes = b"") -> bytes:
    return bytes((0x40 | (20 + len(options)) // 4,)) + bytes(19) + options + body


def test_our_own_general_queries_are_queries() -> None:
    assert is_igmp_query(ipv4(igmp_general_query()))
    assert is_igmp_query(ipv4(igmp_general_query(), options=bytes((0x94, 4, 0, 0))))
    assert checksum(igmp_general_query()) == 0
    assert is_mld_query(mld_general_query())


def test_a_report_is_no_query() -> None:
    report = b"\x16\0\0\0" + bytes((239, 193, 1, 1))
    report = report[:2] + checksum(report).to_bytes(2, "big") + report[4:]
    assert not is_igmp_query(ipv4(report))
    assert not is_mld_query(b"\x83" + bytes(23))


@given(st.binary(max_size=64))
def test_anything_at_all_is_a_query_or_not_or_a_bad_packet(packet: bytes) -> None:
    for reader in (is_igmp_query, is_mld_query):
        with contextlib.suppress(BadPacket):
            assert reader(packet) in (True, False)


def test_a_querier_is_missed_after_its_time_and_no_sooner() -> None:
    watch = QuerierWatch(100.0)
    assert watch.verdict(100.0 + WATCH_SECONDS - 1) is Querier.WATCHING
    assert watch.verdict(100.0 + WATCH_SECONDS) is Querier.NONE
    watch.heard(300.0)
    assert watch.verdict(300.0 + OTHER_QUERIER_SECONDS) is Querier.SEEN
    assert watch.verdict(301.0 + OTHER_QUERIER_SECONDS) is Querier.NONE

"""Router Solicitations of booting machines: who sends one, who is answered, and with what."""

from __future__ import annotations

import contextlib

import pytest
from castcore.boot.routeradvert import (
    BOOTING_SECONDS,
    MOST_MACHINES,
    BootingMachines,
    no_router,
    solicitor,
)
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptMTU, ICMPv6NDOptSrcLLAddr

MAC = "52:54:00:00:00:07"
HEAD = bytes((133, 0, 0, 0, 0, 0, 0, 0))


def test_a_solicitation_says_whose_it_is() -> None:
    plain = ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    assert solicitor(bytes(plain)) == MAC
    behind = ICMPv6ND_RS() / ICMPv6NDOptMTU() / ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    assert solicitor(bytes(behind)) == MAC


@pytest.mark.parametrize(
    "message",
    [
        b"",
        HEAD[:7],
        HEAD,
        bytes((134, 0)) + HEAD[2:],
        bytes((133, 1)) + HEAD[2:],
        HEAD + bytes((1, 0, 1, 2, 3, 4, 5, 6)),
        HEAD + bytes((1, 2, 1, 2, 3, 4, 5, 6)),
        HEAD + bytes((1, 1, 1, 2, 3)),
    ],
)
def test_what_is_no_solicitation_or_says_no_sender_is_refused(message: bytes) -> None:
    with pytest.raises(BadPacket):
        solicitor(message)


@given(st.binary(max_size=64) | st.binary(max_size=56).map(lambda rest: HEAD + rest))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    with contextlib.suppress(BadPacket):
        assert len(solicitor(message)) == len(MAC)


def test_the_answer_gives_neither_router_nor_prefix_nor_dhcp() -> None:
    answer = ICMPv6ND_RA(no_router())
    assert bytes(answer) == no_router()
    assert (answer.type, answer.code, answer.routerlifetime) == (134, 0, 0)
    assert (answer.M, answer.O, answer.chlim, len(answer.payload)) == (0, 0, 0, 0)


def test_a_machine_is_booting_for_a_while() -> None:
    machines = BootingMachines()
    assert not machines.is_booting(MAC, 0.0)
    machines.note(MAC, 100.0)
    assert machines.is_booting(MAC, 100.0)
    assert machines.is_booting(MAC, 99.0 + BOOTING_SECONDS)
    assert not machines.is_booting(MAC, 100.0 + BOOTING_SECONDS)
    assert not machines.is_booting("52:54:00:00:00:08", 100.0)


def test_no_flood_of_machines_fills_the_memory() -> None:
    machines = BootingMachines()
    for number in range(3 * MOST_MACHINES):
        machines.note(str(number), float(number) / 1000)
        machines.note(MAC, float(number) / 1000)
    assert len(machines._seen) == MOST_MACHINES
    assert machines.is_booting(MAC, 3.0)

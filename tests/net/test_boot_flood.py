"""Hostile packets at the running boot services: nothing stops, nothing grows, no answer is wrong."""

from __future__ import annotations

import statistics
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from tests.net.namespaces import inside
from tests.property.test_boot_hostile import near_packets
from tests.support.bootflood import Flood, flood
from tests.support.bootroom import POOL, SERVER, boot_room, make_tree
from tests.support.dhcpwitness import DhcpWitness

pytestmark = pytest.mark.root

MODES = ("proxy", "dhcp")
IGNORED = 2
# Millions of packets may not cost more; a megabyte is a hundredth of the process.
MOST_GROWTH = 0.02


def drawn(count: int) -> list[bytes]:
    """Packets that hypothesis makes; the same in each run."""
    packets: list[bytes] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(near_packets())
    def collect(data: bytes) -> None:
        packets.append(data)

    collect()
    return packets


def growth(usage: list[dict[str, Any]], what: str) -> float:
    """From the mean of the first quarter to that of the last, as a share."""
    values = [sample[what] for sample in usage]
    quarter = max(len(values) // 4, 1)
    return statistics.mean(values[-quarter:]) / statistics.mean(values[:quarter]) - 1


def report(mode: str, told: Flood, udp: dict[str, int]) -> str:
    """What was seen, for the log."""
    last = told.usage[-1]
    counted = {key: sum(one[key] for one in last["dhcp"]) for key in ("received", "bad", "answered")}
    decided = 1 - counted["bad"] / counted["received"]
    cpu = last["cpu"] - told.usage[0]["cpu"]
    rate = told.sent["DHCP"] / told.seconds
    grown = ", ".join(
        f"{what} {100 * growth(told.usage, what):+.2f}%" for what in ("rss", "blocks", "maps")
    )
    return (
        f"{mode}: {dict(told.sent)} in {told.seconds:.0f} s ({rate:.0f} DHCP packets/s, server {cpu:.0f} s)\n"
        f"  DHCP: {counted}, {100 * decided:.1f}% reached a decision; answers {dict(told.answers)}\n"
        f"  memory: RSS {last['rss'] >> 20} MiB, peak {last['peak'] >> 20} MiB; first to last quarter: {grown}\n"
        f"  good client: {len(told.good)} boots, the slowest {max(told.good):.2f} s; kernel drops {udp}"
    )


def run_flood(mode: str, tmp_path: Path, dhcp: int, tftp: int, seed: int) -> None:
    """One flood with all that must hold."""
    leases = [IPv4Address(f"192.0.2.{n}") for n in POOL] if mode == "dhcp" else []
    witness = DhcpWitness(SERVER, frozenset(leases), silent=IGNORED)
    with boot_room("flood", mode, make_tree(tmp_path)) as room:
        work = lambda: flood(room, witness, dhcp, tftp, drawn(1000), seed)  # noqa: E731
        told: Flood = inside(room.cable.right, work, timeout=3600)
        udp = {k: v for k, v in room.datagrams().items() if k in ("RcvbufErrors", "InCsumErrors")}
    print("\n" + report(mode, told, udp))
    last = told.usage[-1]
    assert not told.wrong, told.wrong.most_common(10)
    assert (last["failures"], told.unheard) == (0, 0), last["failure"]
    # Not one was lost on its way: so many went through the service.
    assert sum(one["received"] for one in last["dhcp"]) >= told.sent["DHCP"] == dhcp
    assert told.sent["TFTP request"] == tftp
    assert {"OFFER", "DHCP type 5", "TFTP opcode 3", "TFTP opcode 5", "TFTP opcode 6"} <= set(
        told.answers
    )
    assert told.good
    for what in ("rss", "blocks", "maps", "files", "threads"):
        assert growth(told.usage, what) < MOST_GROWTH, report(mode, told, udp)


@pytest.mark.parametrize("mode", MODES)
def test_hostile_packets_change_nothing(mode: str, tmp_path: Path) -> None:
    run_flood(mode, tmp_path, dhcp=20_000, tftp=2_000, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
def test_two_million_hostile_packets_change_nothing(mode: str, tmp_path: Path) -> None:
    run_flood(mode, tmp_path, dhcp=1_000_000, tftp=100_000, seed=2)

"""Hostile packets at the running boot services: nothing stops, nothing grows, no answer is wrong."""

from __future__ import annotations

import json
import statistics
import sys
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from castcore.edge import run
from hypothesis import Phase, given, settings

from tests.net.namespaces import inside
from tests.support.bootflood import Flood, flood
from tests.support.bootroom import POOL, SERVER, boot_room, make_tree
from tests.support.castlab import ENVIRONMENT, ROOT
from tests.support.dhcpwitness import DhcpWitness
from tests.support.nearpackets import near_packets

pytestmark = pytest.mark.root

MODES = ("proxy", "dhcp")
IGNORED = 2
# What a service may grow by, from the first to the last quarter of millions of packets; and of some
# seconds, in which it still warms up.
MOST_GROWTH, MOST_AT_FIRST = 0.02, 0.05
FLAT = ("rss", "blocks", "maps")
MIB = 1 << 20
# Packets counted line by line, and the share of the readers' lines that they reach.
COVERED = 20_000
READERS = ("message", "options", "tftprequest", "dhcppacket")
LEAST_READ = 0.95


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
    values = [float(sample[what]) for sample in usage]
    quarter = max(len(values) // 4, 1)
    return statistics.mean(values[-quarter:]) / statistics.mean(values[:quarter]) - 1


def report(mode: str, told: Flood, reached: dict[str, Any]) -> str:
    """What was seen, for the log."""
    first, last = told.usage[0], told.usage[-1]
    counted = {
        key: sum(one[key] - before[key] for one, before in zip(last["dhcp"], first["dhcp"], strict=True))
        for key in ("received", "bad", "answered")
    }
    decided = 1 - counted["bad"] / counted["received"]
    rate, cpu = told.sent["DHCP"] / told.seconds, last["cpu"] - first["cpu"]
    grown = ", ".join(f"{what} {100 * growth(told.usage, what):+.2f}%" for what in FLAT)
    lines = [
        f"{mode}: {dict(told.sent)} in {told.seconds:.0f} s",
        f"{rate:.0f} DHCP packets/s, the server's processor time {cpu:.0f} s",
        f"DHCP {counted}: {100 * decided:.1f}% reached a decision; answers judged: {dict(told.answers)}",
        f"RSS {last['rss'] / MIB:.1f} MiB, at most {last['peak'] / MIB:.1f}",
        f"first to last quarter: {grown}",
        f"good client: {len(told.good)} boots, the slowest {max(told.good):.2f} s",
        "reached (lines, branches): " + ", ".join(shares(name, of) for name, of in reached.items()),
    ]
    return "\n" + "\n  ".join(lines)


def shares(name: str, of: dict[str, int]) -> str:
    """A file's lines and branches reached, in words."""
    lines, branches = (
        of["covered_lines"] / of["num_statements"],
        of["covered_branches"] / of["num_branches"],
    )
    return f"{name} {100 * lines:.0f}% {100 * branches:.0f}%"


def coverage(packets: int) -> dict[str, Any]:
    """What a sample of the same packets reaches of the code that reads them."""
    program = [sys.executable, "-m", "tests.support.bootcoverage", str(packets)]
    return dict(json.loads(run.run(program, timeout=300, cwd=ROOT, extra_env=ENVIRONMENT)))


def run_flood(mode: str, tmp_path: Path, dhcp: int, tftp: int, *, seed: int, most_growth: float) -> None:
    """One flood with all that must hold."""
    leases = [IPv4Address(f"192.0.2.{n}") for n in POOL] if mode == "dhcp" else []
    witness, more = DhcpWitness(SERVER, frozenset(leases), silent=IGNORED), drawn(1000)
    with boot_room("flood", mode, make_tree(tmp_path)) as room:
        work = partial(flood, room, witness, dhcp, tftp, more, seed)
        told: Flood = inside(room.cable.right, work, timeout=3600)
        assert room.datagrams()["RcvbufErrors"] == 0
    reached = coverage(min(dhcp, COVERED))
    text = report(mode, told, reached)
    print(text)
    assert not told.wrong, told.wrong.most_common(10)
    assert (told.after["failures"], told.unheard) == (0, 0), told.after["failure"]
    # Not one was lost on its way: so many went through the service.
    assert sum(one["received"] for one in told.after["dhcp"]) >= told.sent["DHCP"] == dhcp
    assert told.sent["TFTP request"] == tftp
    assert {"OFFER", "DHCP type 5", *(f"TFTP opcode {n}" for n in (3, 5, 6))} <= set(told.answers)
    # The first was before the flood.
    assert len(told.good) > 1
    for what in ("files", "threads"):
        assert told.after[what] <= told.usage[0][what], what
    for what in FLAT:
        assert growth(told.usage, what) < most_growth, text
    for name in READERS:
        assert reached[name]["covered_lines"] > LEAST_READ * reached[name]["num_statements"], text


@pytest.mark.parametrize("mode", MODES)
def test_hostile_packets_change_nothing(mode: str, tmp_path: Path) -> None:
    run_flood(mode, tmp_path, dhcp=60_000, tftp=6_000, seed=1, most_growth=MOST_AT_FIRST)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
def test_two_million_hostile_packets_change_nothing(mode: str, tmp_path: Path) -> None:
    run_flood(mode, tmp_path, dhcp=1_000_000, tftp=100_000, seed=2, most_growth=MOST_GROWTH)

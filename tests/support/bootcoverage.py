"""How much of the code that reads and decides a sample of the hostile packets reaches.

``python -m tests.support.bootcoverage PACKETS`` prints a line of JSON: per file its lines and branches,
and how many of them the sample reached. A process of its own, so that nothing is imported before.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parents[2]
READERS = ("message", "options", "tftprequest")
DECIDERS = ("answers", "bootclient", "proxy", "simpledhcp", "leases")
FILES = [
    *(f"core/castcore/boot/{name}.py" for name in (*READERS, *DECIDERS)),
    "core/castcore/edge/net/dhcppacket.py",
]


def sample(packets: int) -> None:
    """Read, decide and answer so many packets, as both kinds of server, and a tenth of TFTP requests."""
    from ipaddress import IPv4Address, IPv4Interface

    from castcore.boot import BootPlace, LeaseTable, Pool, destination, dhcp_decide, proxy_decide
    from castcore.boot.tftprequest import parse_request
    from castcore.edge.net.dhcppacket import decode, encode
    from castcore.errors import BadPacket

    from tests.support.bootservice import Thirds
    from tests.support.fuzzdhcp import DhcpFuzz
    from tests.support.fuzztftp import TftpFuzz

    place, policy = BootPlace(IPv4Address("192.0.2.1"), 8080), Thirds()
    table, fuzz, tftp = LeaseTable(Pool.of(IPv4Interface("192.0.2.1/24"))), DhcpFuzz(1), TftpFuzz(1)
    for number in range(packets):
        data, port = fuzz.next()
        with contextlib.suppress(BadPacket):
            request = decode(data)
            for verdict in (
                proxy_decide(request, port, place, policy),
                dhcp_decide(request, port, place, policy, table, number / 10),
            ):
                if verdict.reply is not None:
                    encode(verdict.reply)
                    destination(verdict.reply, ("192.0.2.60", 2070), port)
        if number % 10 == 0:
            with contextlib.suppress(BadPacket):
                parse_request(tftp.request()).granted()


def main() -> None:
    """Count, and print."""
    counter = Coverage(branch=True, include=[str(ROOT / name) for name in FILES], data_file=None)
    counter.start()
    sample(int(sys.argv[1]))
    counter.stop()
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "coverage.json"
        counter.json_report(outfile=str(into))
        told = json.loads(into.read_text())["files"]
    result = {Path(name).stem: about["summary"] for name, about in told.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

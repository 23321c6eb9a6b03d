"""The boot services of one interface in a process of their own, which tells what it uses when asked.

``python -m tests.support.bootservice MODE INTERFACE ADDRESS TREE`` prints a line of JSON when it serves,
and one for each line it reads; it ends with its input.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from castcore.boot import BootDecision, InterfaceMode
from castserver.netboot.bootwatch import BootWatch
from castserver.services.bootservices import BootServices, BootSettings
from castserver.services.dhcplistener import DhcpListener

PAGE = os.sysconf("SC_PAGE_SIZE")


class Failures(logging.Handler):
    """Counts what the services log as an error: a handler of theirs that raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count, self.last = 0, ""

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self.count += 1
        self.last = f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else ""


class Thirds:
    """A third of the machines boots the client, a third its own disk, a third is ignored."""

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """By the MAC's last byte."""
        del uuid
        order = (BootDecision.CLIENT, BootDecision.LOCAL, BootDecision.IGNORE)
        return order[int(mac[-2:], 16) % 3]


def usage() -> dict[str, Any]:
    """Memory and handles of this process: bytes, Python's blocks, numbers of each."""
    gc.collect()
    here = Path("/proc/self")
    status = dict(line.split(":", 1) for line in (here / "status").read_text().splitlines())
    return {
        "rss": int((here / "statm").read_text().split()[1]) * PAGE,
        "peak": int(status["VmHWM"].split()[0]) << 10,
        "blocks": sys.getallocatedblocks(),
        "maps": len((here / "maps").read_text().splitlines()),
        "files": len(list((here / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "cpu": sum(os.times()[:2]),
    }


def main() -> None:
    """Serve until the input ends."""
    mode, interface, address, tree = sys.argv[1:5]
    watch = BootWatch(lambda: None)
    settings = BootSettings(
        interface,
        address,
        InterfaceMode(mode),
        Path(tree),
        f"https://{address}:8443",
        server_key=b"k" * 32,
    )
    services = BootServices(settings, Thirds(), watch.note)
    services.start()
    failures = Failures()
    logging.getLogger().addHandler(failures)
    listeners = [one for one in gc.get_objects() if isinstance(one, DhcpListener)]
    print(json.dumps(usage()), flush=True)
    for _ in sys.stdin:
        counted = [asdict(listener.counters) for listener in listeners]
        failed = {"failures": failures.count, "failure": failures.last}
        print(json.dumps(usage() | failed | {"dhcp": counted}), flush=True)
    services.stop()


if __name__ == "__main__":
    main()

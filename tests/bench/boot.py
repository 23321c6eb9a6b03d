"""`make bench-boot`: what a machine loads, how soon its client is ready, and two hundred PXE machines at
once, from DHCP to the last byte of kernel and initrd.

python -m tests.bench.boot                 all of it, about 8 minutes
python -m tests.bench.boot --quick         twenty machines, one pair of boots, no claim
python -m tests.bench.boot --only media    sizes and times of the boot image alone

The machines (`tests.bench.bootclient`) live in namespaces of their own behind one bridge, on the cores
of the server; the wire is memory, so the figures are what the processors give, not a link.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from castcore.edge import run

from tests.bench.bootmedia import PAIRS, media_bars
from tests.bench.table import Bar, machine, write
from tests.net.namespaces import Cable, ip
from tests.support.bootroom import BootRoom
from tests.support.castlab import ENVIRONMENT, ROOT

KINDS = ("media", "proxy", "dhcp")
MACHINES, QUICK = 200, 20
CLIENT_PROCESSES = 4
MIB = 1 << 20
# As Debian 13's: shim, GRUB, kernel; the initrd fills up to 60 MB of payload.
SIZES = {"kernel": 12_000_000, "initrd": 48_000_000, "shim": 950_000, "grub": 2_600_000, "ipxe": 70_000}
NAMES = {
    "shimx64.efi": "shim",
    "grubx64.efi": "grub",
    "boot/vmlinuz": "kernel",
    "boot/initrd.img": "initrd",
}
MADE = ("grub/grub.cfg", "boot/trust.cpio")
SERVER, SITE, WIRE = "10.66.0.1", "10.66.0.2", "wire0"
MOST_MEMORY = 256 * MIB
_SECONDS = 60.0


@dataclass(frozen=True)
class Storm:
    """What a storm took: a line of each machine, the server's use before and after, seconds."""

    machines: list[dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float

    @property
    def complete(self) -> list[dict[str, Any]]:
        """The machines that got everything."""
        return [one for one in self.machines if not one["error"]]

    def median(self, phase: str) -> float:
        """Seconds from the start to the end of a phase, of the machine in the middle."""
        return statistics.median([float(one["seconds"].get(phase, 0.0)) for one in self.machines])


@contextmanager
def room(count: int) -> Iterator[str]:
    """Namespaces ``PREFIXhub``, ``s``, ``site`` and one for each machine's number; gone at the end."""
    prefix = f"fcb-{os.getpid()}-"
    spaces = ["hub", "s", "site", *(str(n) for n in range(count))]
    try:
        _batch([], [f"netns add {prefix}{name}" for name in spaces])
        lines = ["link add br0 type bridge", "link set br0 up"]
        for name in spaces[1:]:
            lines.append(f"link add p{name} type veth peer name {WIRE} netns {prefix}{name}")
            lines.append(f"link set p{name} master br0 up")
        _batch(["-n", f"{prefix}hub"], lines)
        for name, address in (("s", SERVER), ("site", SITE)):
            lines = ["link set lo up", f"addr add {address}/23 brd + dev {WIRE}", f"link set {WIRE} up"]
            _batch(["-n", f"{prefix}{name}"], lines)
        yield prefix
    finally:
        for name in spaces:
            with suppress(run.ProgramFailed):
                ip("netns", "delete", f"{prefix}{name}")


def _batch(options: Sequence[str], lines: Sequence[str]) -> None:
    run.run(["ip", *options, "-batch", "-"], timeout=_SECONDS, data="\n".join(lines).encode())


def tree(folder: Path) -> dict[str, str]:
    """Make a boot tree; the hash of each of its files by the name it is asked for."""
    chance, files, hashes = random.Random(5), {}, {}
    for role, size in SIZES.items():
        data = chance.randbytes(size)
        (folder / role).write_bytes(data)
        hashes[role] = blake3(data).hexdigest()
        files[role] = {"name": role, "size": size, "blake3": hashes[role]}
    (folder / "tree.json").write_text(json.dumps({"format": 1, "files": files}))
    return {name: hashes[role] for name, role in NAMES.items()}


def _made_hashes(prefix: str) -> dict[str, str]:
    """Hashes of the files that the server makes, which it serves over HTTP."""
    found = {}
    for name in MADE:
        command = ["ip", "netns", "exec", f"{prefix}site", "curl", "-sf"]
        data = run.run([*command, f"http://{SERVER}:8080/{name}"], timeout=_SECONDS)
        found[name] = blake3(data).hexdigest()
    return found


def storm(mode: str, count: int, folder: Path) -> Storm:
    """All machines at once, against a server in ``mode``; beside dnsmasq where that is a proxy."""
    hashes = tree(folder)
    with room(count) as prefix, ExitStack() as stack:
        if mode == "proxy":
            stack.enter_context(run.started(_dnsmasq(prefix, folder)))
        words = [sys.executable, "-m", "tests.support.bootservice", mode, WIRE, SERVER, str(folder)]
        server = stack.enter_context(_started(f"{prefix}s", words))
        service = BootRoom(Cable(f"{prefix}s", f"{prefix}hub"), server)
        service.line()
        each = -(-count // CLIENT_PROCESSES)
        told = json.dumps(hashes | _made_hashes(prefix))
        clients = []
        for first in range(0, count, each):
            some = [str(first), str(min(each, count - first)), prefix, told]
            words = [sys.executable, "-m", "tests.bench.bootclient", *some]
            clients.append(stack.enter_context(_started(f"{prefix}hub", words)))
        before = _all_ready(clients, service)
        begun = time.monotonic()
        machines = _results(clients)
        seconds = time.monotonic() - begun
        return Storm(machines, before, service.usage(), seconds)


def _started(space: str, words: Sequence[str]) -> Any:
    command = ["ip", "netns", "exec", space, *words]
    return run.started(command, cwd=ROOT, extra_env=ENVIRONMENT, stdin=subprocess.PIPE, merged=True)


def _all_ready(clients: Sequence[run.Process], service: BootRoom) -> dict[str, Any]:
    for client in clients:
        assert client.stdout is not None
        said = client.stdout.readline()
        assert said == b"ready\n", said + client.stdout.read()
    return service.usage()


def _results(clients: Sequence[run.Process]) -> list[dict[str, Any]]:
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(b"go\n")
        client.stdin.flush()
    lines = [line for client in clients for line in client.stdout or ()]
    return [json.loads(line) for line in lines]


def _dnsmasq(prefix: str, folder: Path) -> list[str]:
    """The site's DHCP server, without boot options."""
    words = ["dnsmasq", "-k", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file="]
    words += ["--log-facility=/dev/null"]
    words += [f"--interface={WIRE}", "--bind-interfaces", "--dhcp-range=10.66.1.0,10.66.1.250,1h"]
    words += ["--no-ping", "--dhcp-authoritative", f"--dhcp-leasefile={folder / 'leases'}"]
    words += ["--dhcp-option=option:server-ip-address,0.0.0.0"]
    return ["ip", "netns", "exec", f"{prefix}site", *words]


def bars(mode: str, count: int, took: Storm, *, claim: bool) -> list[Bar]:
    """The figures of one storm."""
    name = {"proxy": "proxy beside dnsmasq", "dhcp": "own DHCP"}[mode]
    case, done = f"{count} machines, {name}", took.complete
    again = {what: sum(one["again"][what] for one in took.machines) for what in ("dhcp", "tftp")}
    wholes = [one["seconds"]["whole"] for one in done]
    size = count * sum(SIZES[role] for role in NAMES.values())
    peak, cpu = took.after["peak"], took.after["cpu"] - took.before["cpu"]
    phases = "  ".join(f"{phase} {took.median(phase):.1f} s" for phase in ("dhcp", "tftp", "whole"))
    addresses = len({one["address"] for one in done})
    whole = len(done) == addresses == count and not took.after["failures"]
    errors = sorted({one["error"] for one in took.machines if one["error"]})
    for error in errors[:5]:
        print(f"    {error}", flush=True)
    return [
        Bar(
            case, f"{len(done)} complete in {took.seconds:.1f} s", "all" if claim else "", whole, wholes
        ),
        Bar(f"{case}: median", phases, "", None),
        Bar(f"{case}: sent again", f"DHCP {again['dhcp']}, TFTP {again['tftp']}", "", None),
        Bar(
            f"{case}: rate", f"{size / took.seconds / 1e6:.0f} MB/s, server's CPU {cpu:.1f} s", "", None
        ),
        Bar(
            f"{case}: server's memory",
            f"at most {peak / MIB:.0f} MiB (idle {took.before['rss'] / MIB:.0f})",
            f"<= {MOST_MEMORY // MIB} MiB" if claim else "",
            peak <= MOST_MEMORY,
        ),
    ]


def main() -> None:
    """Sizes, times, both storms."""
    words = argparse.ArgumentParser(description="A boot storm on this machine.")
    words.add_argument("--quick", action="store_true", help=f"{QUICK} machines, no claim")
    words.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    args = words.parse_args()
    about, begun, found = machine(), time.monotonic(), list[Bar]()
    count = QUICK if args.quick else MACHINES
    if "media" in args.only:
        print(f"[{time.monotonic() - begun:.0f} s] media", flush=True)
        found += media_bars(print, pairs=1 if args.quick else PAIRS, claim=not args.quick)
    for mode in (kind for kind in args.only if kind != "media"):
        print(f"[{time.monotonic() - begun:.0f} s] {mode}", flush=True)
        with tempfile.TemporaryDirectory(prefix="fleetcast-bench-", dir="/dev/shm") as folder:
            took = storm(mode, count, Path(folder))
        found += bars(mode, count, took, claim=not args.quick)
    write("boot", about, found, seconds=round(time.monotonic() - begun), quick=args.quick)


if __name__ == "__main__":
    main()

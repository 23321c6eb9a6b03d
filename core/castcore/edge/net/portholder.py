"""Which program holds a port, read from /proc (proc(5)); and the error that says so."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from castcore.errors import FleetcastError, NetworkFailed, NotFound, PortTaken, Refused

PROC = Path("/proc")
TCP_LISTEN = "0A"
# What stands in the command line of our own program, however it was started.
OURS = {"fleetcast", "castserver"}


@dataclass(frozen=True)
class Holder:
    """The program that holds a port; ``ours``: it is one of Fleetcast's."""

    name: str
    process: int
    ours: bool

    def __str__(self) -> str:
        return f'"{self.name}" (process {self.process})'


def holder(protocol: str, port: int, proc: Path = PROC) -> str:
    """``"dnsmasq" (process 812)`` for the holder of a ``protocol`` ("udp", "tcp") port; "" if unknown.

    Unknown is usual without root, for sockets of another network namespace, and when it was just freed.
    """
    return str(holder_of(protocol, port, proc) or "")


def holder_of(protocol: str, port: int, proc: Path = PROC) -> Holder | None:
    """As `holder`; None if unknown."""
    inodes = {inode for table in (protocol, f"{protocol}6") for inode in _inodes(proc, table, port)}
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if inodes & _sockets(process):
            name = _text(process / "comm").strip() or "a program"
            words = {Path(word).name for word in _text(process / "cmdline").split("\0")}
            return Holder(name, int(process.name), ours=bool(words & OURS))
    return None


def bind_error(error: OSError, protocol: str, address: str, port: int) -> FleetcastError:
    """What a failed ``bind`` means to the operator."""
    name = f"{protocol.upper()} port {port}"
    if error.errno == errno.EADDRINUSE:
        by = holder(protocol, port)
        return PortTaken(
            f"{name} is taken{f' by {by}' if by else ' by another program'}",
            hint="stop that program",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return NotFound(f"no interface of this machine has the address {address}", hint="see `ip addr`")
    if error.errno == errno.ENODEV:
        return NotFound(f"the interface for {name} does not exist", hint="see `ip link`")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Refused(f"{name} needs root", hint="start the server as root")
    return NetworkFailed(f"{name} on {address} cannot be opened: {error.strerror}")


def _inodes(proc: Path, table: str, port: int) -> set[str]:
    found = set()
    for line in _text(proc / "thread-self/net" / table).splitlines()[1:]:
        # sl, local_address (hex ip:port), rem_address, st, queues, timer, retransmits, uid, timeout,
        # inode
        words = line.split()
        listening = table.startswith("udp") or words[3] == TCP_LISTEN
        if len(words) > 9 and listening and int(words[1].rpartition(":")[2], 16) == port:
            found.add(words[9])
    return found


def _sockets(process: Path) -> set[str]:
    found = set()
    try:
        for link in (process / "fd").iterdir():
            target = _link(link)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        return set()
    return found


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

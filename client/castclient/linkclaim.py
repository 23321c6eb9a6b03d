"""A link-local IPv4 address on one interface: the claim of `linklocal.py` with its socket and clock."""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable, Iterable

from castcore.edge.net import addresses, nics
from castcore.edge.net.arp import ArpSocket
from castcore.errors import BadPacket, FleetcastError

from castclient.linklocal import PREFIX, Claim, Do

# How soon the end is noticed, and that DHCP has answered after all.
_LOOK_SECONDS = 0.5
# Packets between two such looks: a network may bring them faster than they are heard.
_MOST_HEARD = 64


def hold(
    interface: str, ended: threading.Event, say: Callable[[str], None], *, linked: Callable[[], bool]
) -> None:
    """Claim an address for ``interface``, and hold it while that is ``linked`` and has no other.

    Raises what ArpSocket raises, OSError, ProgramFailed; the address is gone at the end.
    """
    claim = Claim(nics.nic(interface).mac, time.monotonic())
    sock = ArpSocket(interface)
    try:
        while linked() and not ended.is_set() and _is_ours_to_give(interface, claim):
            now = time.monotonic()
            _do(claim.due(now), claim, sock, interface, say)
            wait = min(max(claim.at - now, 0.0), _LOOK_SECONDS) if claim.at > now else _LOOK_SECONDS
            if select.select([sock], [], [], wait)[0]:
                _hear(claim, sock, interface, say)
    finally:
        sock.close()
        if claim.in_use:
            with contextlib.suppress(FleetcastError):
                addresses.remove(interface, f"{claim.address}/{PREFIX}")


def _is_ours_to_give(interface: str, claim: Claim) -> bool:
    """Not any more once DHCP has given one."""
    return nics.ipv4_address(interface) in ("", str(claim.address))


def _hear(claim: Claim, sock: ArpSocket, interface: str, say: Callable[[str], None]) -> None:
    for _ in range(_MOST_HEARD):
        had = f"{claim.address}/{PREFIX}"
        try:
            packet = sock.receive()
        except BlockingIOError:
            return
        except BadPacket:
            continue
        told = claim.heard(packet, time.monotonic())
        if Do.GIVE_UP in told:
            say(f"{interface}: {had} belongs to {packet.sender_mac}, another is looked for")
            addresses.remove(interface, had)
        else:
            _do(told, claim, sock, interface, say)


def _do(
    told: Iterable[Do], claim: Claim, sock: ArpSocket, interface: str, say: Callable[[str], None]
) -> None:
    for one in told:
        if one is Do.PROBE:
            sock.probe(claim.address)
        elif one is Do.ANNOUNCE:
            sock.announce(claim.address)
        elif one is Do.USE:
            addresses.add(interface, f"{claim.address}/{PREFIX}")
            say(f"{interface}: nobody answers DHCP; {claim.address} was free, and is used")

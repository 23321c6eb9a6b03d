"""Finding the DHCP and PXE servers of an interface's network: a real DISCOVER, and listening.

A packet socket sees and sends whole frames (packet(7)), so that the interface may have any address,
fixed ones too, and UDP port 68 stays the host's. Nothing is ever requested: a server that offers an
address to us gives none away.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from castcore.boot import (
    PROBE_SECONDS,
    FoundServer,
    Hearsay,
    PresenceWatch,
    boot_server_request,
    discover,
    hearsay,
)
from castcore.boot.message import MessageType, mac_text
from castcore.edge.net import nics
from castcore.edge.net.bootsockets import interface_index
from castcore.edge.net.ipv4 import leased_address, own_addresses
from castcore.errors import BadPacket, NetworkFailed, Refused

ASK_AGAIN = 1.0
# dnsmasq pings the address for up to 3 s before it offers it.
DEFAULT_SECONDS = PROBE_SECONDS + 1.0
_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_SIOCGIFHWADDR = 0x8927
_LARGEST_FRAME = 2048
# Frames read before the caller gets its turn.
_BATCH = 64
# linux/filter.h, one line an instruction: code, jump if true, jump if false, constant. Passes UDP over
# IPv4 to port 67 or 68 alone: a cast of 100 MB/s on the same interface is not copied to us.
_FILTER = (
    (0x28, 0, 0, 12),  # the Ethernet type
    (0x15, 0, 8, _ETH_P_IP),
    (0x30, 0, 0, 23),  # the protocol
    (0x15, 0, 6, socket.IPPROTO_UDP),
    (0x28, 0, 0, 20),  # the fragment's offset
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 14),  # the IPv4 header's length
    (0x48, 0, 0, 16),  # the port it goes to
    (0x15, 2, 0, 67),
    (0x15, 1, 0, 68),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, _LARGEST_FRAME),
)
_INSTRUCTION = struct.Struct("=HBBI")


@dataclass(frozen=True)
class Surroundings:
    """The ``servers`` that answered, by address; ``leased``: the interface's own leased address."""

    servers: tuple[FoundServer, ...]
    leased: str = ""


def probe(interface: str, seconds: float = DEFAULT_SECONDS, pxe: bool = True) -> Surroundings:  # noqa: FBT001, FBT002
    """Ask for DHCP servers, and ``pxe`` servers, on ``interface`` and wait ``seconds`` for answers.

    Raises NotFound (no such interface), Refused (not root), NetworkFailed.
    """
    watch = PresenceWatch()
    with contextlib.closing(DhcpEar(interface)) as ear:
        start = time.monotonic()
        ear.ask(pxe=pxe)
        asked = False
        while (now := time.monotonic()) < start + seconds:
            if not asked and now >= start + min(ASK_AGAIN, seconds / 2):
                asked = True
                ear.ask(watch.servers(), pxe=pxe)
            for said in ear.hear(min(start + seconds - now, 0.2)):
                watch.heard(said.server, now, by_us=ear.asked_for(said))
    return Surroundings(watch.servers(), leased_address(interface))


class DhcpEar:
    """Hears what DHCP servers say on one interface, and asks them; not what this host says itself.

    Raises NotFound (no such interface), Refused (not root), NetworkFailed.
    """

    def __init__(self, interface: str) -> None:
        interface_index(interface)
        self._interface = interface
        self._xid = secrets.randbits(31)
        self._socket = _packet_socket(interface)
        self._mac = mac_text(self._socket.getsockname()[4][:6])

    def ask(self, servers: Sequence[FoundServer] = (), *, pxe: bool = True) -> None:
        """Ask everybody for an address, and (``pxe``) for a boot file; and port 4011 of ``servers``."""
        own = nics.ipv4_address(self._interface)
        frames = [discover(self._mac, self._xid, pxe=False)]
        if pxe:
            frames.append(discover(self._mac, self._xid + 1, pxe=True))
        if pxe and own:
            frames += [
                boot_server_request(self._mac, own, self._xid + 2, server)
                for server in servers
                if server.mac and not server.pxe
            ]
        for frame in frames:
            # Without a link nobody can be asked now.
            with contextlib.suppress(OSError):
                self._socket.send(frame)

    def hear(self, seconds: float) -> list[Hearsay]:
        """What is heard of servers within ``seconds``; at once when there is something."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.select(max(seconds, 0.0))
        heard = [said for said in map(_read, self._frames()) if said is not None]
        return _of_others(heard) if heard else []

    def asked_for(self, said: Hearsay) -> bool:
        """Whether a server said this to us, as an answer to `ask`."""
        ours = said.client == self._mac and 0 <= said.xid - self._xid <= 2
        return ours and said.kind is not MessageType.REQUEST

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()

    def _frames(self) -> list[bytes]:
        frames: list[bytes] = []
        with contextlib.suppress(OSError):  # no more, or the interface went away
            while len(frames) < _BATCH:
                frames.append(self._socket.recv(_LARGEST_FRAME))
        return frames


def _read(frame: bytes) -> Hearsay | None:
    try:
        return hearsay(frame)
    except BadPacket:
        return None


def _of_others(heard: list[Hearsay]) -> list[Hearsay]:
    """What is not of ourselves: another interface of this host may be in the same network."""
    macs, addresses = _own_macs(), {own.address for own in own_addresses()}
    return [
        said
        for said in heard
        if (said.server.mac not in macs if said.server.mac else said.server.address not in addresses)
    ]


def _packet_socket(interface: str) -> socket.socket:
    program = b"".join(_INSTRUCTION.pack(*line) for line in _FILTER)
    held = ctypes.create_string_buffer(program, len(program))
    try:
        # Protocol 0: nothing comes before the filter is in place.
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise Refused(
            f"asking for DHCP servers on {interface} needs root", hint="start it as root"
        ) from None
    try:
        attached = struct.pack("@HP", len(_FILTER), ctypes.addressof(held))
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
        made.bind((interface, _ETH_P_IP))
        made.setblocking(False)  # noqa: FBT003 (the socket module's own signature)
    except OSError as error:
        made.close()
        raise NetworkFailed(
            f"DHCP servers on {interface} cannot be asked for: {error.strerror}",
            hint="`ip link` shows whether it is there and up",
        ) from None
    return made


def _own_macs() -> set[str]:
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has just gone
                request = name.encode()[:15].ljust(40, b"\0")
                # struct ifreq: the name, then a sockaddr: its family, then the address
                found.add(mac_text(fcntl.ioctl(asker, _SIOCGIFHWADDR, request)[18:24]))
    return found

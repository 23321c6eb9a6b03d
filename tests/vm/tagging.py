"""A switch port that carries one VLAN tagged (IEEE 802.1Q), for hosts whose kernel has no VLANs.

QEMU sends each frame of a card as a UDP datagram (``-netdev socket,udp=``); what has the VLAN's tag goes
untagged to an interface of the lab, and back. All else is dropped, as such a port does.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TPID = 0x8100
_ETH_P_ALL = 3
_MACS = 12
_LARGEST = 65536
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_OURS, _QEMUS = 47100, 47101


def netdev(name: str) -> str:
    """QEMU's -netdev argument for the network ``name`` of a card behind the port."""
    return f"socket,id={name},udp=127.0.0.1:{_OURS},localaddr=127.0.0.1:{_QEMUS}"


def tagged(frame: bytes, vlan: int) -> bytes:
    """``frame`` with the tag of ``vlan``."""
    return frame[:_MACS] + struct.pack("!HH", _TPID, vlan) + frame[_MACS:]


def untagged(frame: bytes, vlan: int) -> bytes | None:
    """``frame`` without its tag; None when it has not that of ``vlan``."""
    tpid, tci = struct.unpack_from("!HH", frame, _MACS)
    return frame[:_MACS] + frame[_MACS + 4 :] if tpid == _TPID and tci & 0xFFF == vlan else None


@contextmanager
def tagging_port(interface: str, vlan: int) -> Iterator[None]:
    """Carry ``vlan`` between the card and ``interface``; to be entered in the lab's namespace."""
    card = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    card.bind(("127.0.0.1", _OURS))
    lan = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    lan.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    lan.bind((interface, _ETH_P_ALL))
    ended = threading.Event()
    thread = threading.Thread(target=_carry, args=(card, lan, vlan, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        card.close()
        lan.close()


def _carry(card: socket.socket, lan: socket.socket, vlan: int, ended: threading.Event) -> None:
    while not ended.is_set():
        for sock in select.select([card, lan], [], [], 0.2)[0]:
            with suppress(OSError):  # the card is not there yet, or the interface went down
                frame = sock.recv(_LARGEST)
                if sock is lan:
                    card.sendto(tagged(frame, vlan), ("127.0.0.1", _QEMUS))
                elif (plain := untagged(frame, vlan)) is not None:
                    lan.send(plain)

"""What about an interface would spoil a cast, found before it begins.

Some of it an operator should mend (`sender_warnings`, `receiver_warnings`), some of it makes multicast
useless (`obstacle`).
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.net import nics
from castcore.edge.net.interface import Interface

_SIOCETHTOOL = 0x8946
_ETHTOOL_GPAUSEPARAM = 0x12
# linux/ethtool.h: struct ethtool_pauseparam {cmd, autoneg, rx_pause, tx_pause}.
_PAUSE = struct.Struct("=IIII")
_IFREQ_POINTER = struct.Struct("16sP16x")
GIGABIT = 1000


def obstacle(interface: Interface, datagram_size: int) -> str:
    """Why multicast of such datagrams cannot be received on ``interface``, "" when it can."""
    if interface.wireless:
        return f"{interface.name} is wireless: no multicast, all by unicast"
    if interface.largest_datagram < datagram_size:
        return (
            f"the MTU of {interface.name} ({interface.mtu}) is too small for this cast: all by unicast"
        )
    return ""


def sender_warnings(interface: Interface, sysfs: Path = nics.SYSFS) -> list[str]:
    """What should be mended before a cast is sent through ``interface``, a sentence each."""
    found = _link_warnings(interface, sysfs)
    name = interface.name
    if interface.wireless:
        found.append(f"{name} is wireless: access points send multicast at their lowest rate")
    if pause(name).obeyed:
        found.append(
            f"{name} obeys PAUSE frames: one slow port can hold back all clients"
            f" (`ethtool -A {name} rx off`, or flow control off at the switch)"
        )
    return found


def receiver_warnings(interface: Interface, sysfs: Path = nics.SYSFS) -> list[str]:
    """What should be mended before a cast is received on ``interface``, a sentence each."""
    found = _link_warnings(interface, sysfs)
    name = interface.name
    if pause(name).sent:
        found.append(
            f"{name} sends PAUSE frames: this machine can hold back others (`ethtool -A {name} tx off`)"
        )
    return found


def _link_warnings(interface: Interface, sysfs: Path) -> list[str]:
    name, found = interface.name, []
    facts = nics.nic(name, sysfs)
    if not facts.link:
        found.append(f"{name} has no link: is its cable plugged in?")
    elif 0 < facts.speed < GIGABIT:
        found.append(f"the link of {name} has only {facts.speed} Mbit/s")
    if nics.duplex(name, sysfs) == "half":
        found.append(f"the link of {name} is half duplex: let both ends negotiate")
    return found


@dataclass(frozen=True, slots=True)
class Pause:
    """Flow control (IEEE 802.3 annex 31B): are PAUSE frames obeyed, are they sent?"""

    obeyed: bool
    sent: bool


def pause(name: str) -> Pause:
    """How interface ``name`` is set; neither where its driver has no flow control."""
    data = array.array("B", _PAUSE.pack(_ETHTOOL_GPAUSEPARAM, 0, 0, 0))
    request = _IFREQ_POINTER.pack(name.encode(), data.buffer_info()[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            fcntl.ioctl(probe, _SIOCETHTOOL, request)
    except OSError:
        return Pause(obeyed=False, sent=False)
    _, _, obeyed, sent = _PAUSE.unpack(data.tobytes())
    return Pause(obeyed=bool(obeyed), sent=bool(sent))

"""Which multicast group a cast gets: none that switches flood, none that another cast has.

239.193.0.0 to 239.195.255.255 lie in the organisation-local scope (RFC 2365, 6.2) and alias no MAC of
224.0.0.x; discovery's 239.192.70.70 is clear of them. ff15:: is transient and site-local (RFC 4291,
2.7).
"""

from __future__ import annotations

import socket

_FIRST_NETWORK, _NETWORKS = 193, 3


def cast_group(family: socket.AddressFamily, high: int, low: int, leg: int = 0) -> str:
    """The group of the cast ``high``, ``low`` (0-255 each) on its ``leg``-th interface.

    The last 32 bits differ wherever casts or legs do: they alone make an IPv6 group's MAC (RFC 2464, 7).
    """
    if family is socket.AF_INET6:
        return f"ff15::fc:{high << 8 | low:x}:{leg + 1:x}"
    network, turn = _FIRST_NETWORK + leg % _NETWORKS, leg // _NETWORKS
    return f"239.{network}.{high}.{(low + turn) % 256}"

"""Read-only facts of this machine's network interfaces, from sysfs and two ioctls."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from castcore.control import Nic
from castcore.errors import NetworkFailed

SYSFS = Path("/sys/class/net")
# Of the thread's own network namespace.
IF_INET6 = Path("/proc/thread-self/net/if_inet6")
_ARPHRD_ETHER = 1
# linux/if_addr.h: an address that is not, or never will be, proven unique (RFC 4862, 5.4).
_IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x08, 0x40
_SIOCGIFFLAGS = 0x8913
_SIOCGIFADDR = 0x8915
_SIOCGIFNETMASK = 0x891B
_SIOCGIFMTU = 0x8921
_IFNAME_SIZE = 16
# struct ifreq: the name, then a sockaddr_in whose address stands 4 bytes in.
_IFREQ = struct.Struct("16s4x4s16x")
_IFREQ_MTU = struct.Struct("16xi20x")
_IFREQ_FLAGS = struct.Struct("16sH22x")
# linux/if.h: set up by the administrator; and with a link.
_IFF_UP, _IFF_RUNNING = 0x1, 0x40

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def wired(sysfs: Path = SYSFS) -> tuple[Nic, ...]:
    """Every wired Ethernet interface of real (or emulated) hardware, by name.

    Wireless interfaces and those without a device (bridges, veth, VLANs, loopback) are left out.
    """
    names = sorted(p.name for p in sysfs.iterdir()) if sysfs.is_dir() else []
    return tuple(nic(name, sysfs) for name in names if is_wired(name, sysfs))


def is_wired(name: str, sysfs: Path = SYSFS) -> bool:
    """Is ``name`` an Ethernet interface with hardware behind it, and no radio?"""
    folder = sysfs / name
    ethernet = _number(folder / "type") == _ARPHRD_ETHER
    return ethernet and not is_wireless(name, sysfs) and (folder / "device").exists()


def is_wireless(name: str, sysfs: Path = SYSFS) -> bool:
    """Does ``name`` speak by radio?"""
    folder = sysfs / name
    return (folder / "wireless").exists() or (folder / "phy80211").exists()


def exists(name: str, sysfs: Path = SYSFS) -> bool:
    """Is there an interface called ``name``?"""
    return (sysfs / name).exists()


def index(name: str) -> int:
    """The number that the kernel gave interface ``name``, 0 when it is not there."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def nic(name: str, sysfs: Path = SYSFS) -> Nic:
    """The facts of interface ``name``; what cannot be read is unknown, never an error."""
    folder = sysfs / name
    speed = _number(folder / "speed")
    driver = folder / "device" / "driver"
    return Nic(
        name=name,
        mac=_text(folder / "address"),
        driver=driver.resolve().name if driver.exists() else "",
        speed=max(speed, 0),  # drivers without a figure say -1
        link=_number(folder / "carrier") == 1,
        addresses=_ipv4(name),
    )


def ipv4_address(name: str) -> str:
    """The IPv4 address of interface ``name``, "" when it has none."""
    found = _ipv4(name)
    return found[0].partition("/")[0] if found else ""


def ipv6_addresses(name: str, table: Path = IF_INET6) -> tuple[str, ...]:
    """The usable IPv6 addresses of interface ``name``, routable ones first (proc(5), if_inet6)."""
    found = []
    for line in _text(table).splitlines():
        octets, _index, _prefix, scope, flags, interface = line.split()
        if interface == name and not int(flags, 16) & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED):
            found.append((int(scope, 16), str(ipaddress.IPv6Address(int(octets, 16)))))
    # Scope 0 is global (unique local addresses count as such), 0x20 the link's own.
    return tuple(address for _, address in sorted(found, key=lambda entry: entry[0]))


class LinkState(Enum):
    """How an interface is: it can be used, has no link, has not its address, or is not there at all."""

    UP = "up"
    DOWN = "down"
    ANOTHER = "another address"
    GONE = "gone"


def link_state(name: str, address: str) -> LinkState:
    """Whether interface ``name`` can be used with its ``address``, as the kernel sees it now.

    Raises NetworkFailed when the kernel does not say, as without a free file descriptor.
    """
    request = name.encode()[: _IFNAME_SIZE - 1].ljust(40, b"\0")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            flags = _IFREQ_FLAGS.unpack(fcntl.ioctl(probe, _SIOCGIFFLAGS, request)[:40])[1]
    except OSError as error:
        if error.errno == errno.ENODEV:
            return LinkState.GONE
        raise NetworkFailed(f"the state of {name} cannot be read: {error.strerror}") from None
    if flags & (_IFF_UP | _IFF_RUNNING) != _IFF_UP | _IFF_RUNNING:
        return LinkState.DOWN
    here = address in (ipv4_address(name), *ipv6_addresses(name))
    return LinkState.UP if here else LinkState.ANOTHER


def subnet(name: str, address: str, table: Path = IF_INET6) -> Subnet | None:
    """The network that interface ``name`` is in by its ``address``, None without that address."""
    four = _ipv4(name)
    if four and four[0].partition("/")[0] == address:
        return ipaddress.IPv4Interface(four[0]).network
    for found, prefix, interface in _ipv6(table):
        if (str(found), interface) == (address, name):
            return ipaddress.IPv6Interface(f"{found}/{prefix}").network
    return None


def mtu(name: str) -> int:
    """The largest IP packet that interface ``name`` sends whole, in bytes; 0 when it is not there."""
    request = name.encode()[: _IFNAME_SIZE - 1].ljust(40, b"\0")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return int(_IFREQ_MTU.unpack(fcntl.ioctl(probe, _SIOCGIFMTU, request)[:40])[0])
    except OSError:
        return 0


def duplex(name: str, sysfs: Path = SYSFS) -> str:
    """``full``, ``half``, or "" (or ``unknown``) when the driver does not tell."""
    return _text(sysfs / name / "duplex")


def interface_with(address: str) -> str:
    """The name of the interface that has ``address`` (a zone settles it), "" when none has."""
    bare, _, zone = address.partition("%")
    names = (name for _, name in socket.if_nameindex() if zone in ("", name))
    return next((n for n in names if bare in (ipv4_address(n), *ipv6_addresses(n)) and bare), "")


def address_towards(host: str, port: int) -> str:
    """Our own address on the way to ``host``, "" when there is none; a link-local one with its zone.

    No packet is sent to it.
    """
    with contextlib.suppress(OSError):
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            name = probe.getsockname()
        zone = name[3] if family is socket.AF_INET6 else 0
        return f"{name[0]}%{socket.if_indextoname(zone)}" if zone else str(name[0])
    return ""


def _ipv4(name: str) -> tuple[str, ...]:
    request = name.encode()[: _IFNAME_SIZE - 1].ljust(40, b"\0")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            address = _IFREQ.unpack(fcntl.ioctl(probe, _SIOCGIFADDR, request)[:40])[1]
            mask = _IFREQ.unpack(fcntl.ioctl(probe, _SIOCGIFNETMASK, request)[:40])[1]
    except OSError:  # no such interface, or it has no IPv4 address (yet)
        return ()
    prefix = int.from_bytes(mask, "big").bit_count()
    return (f"{ipaddress.IPv4Address(address)}/{prefix}",)


def _ipv6(table: Path) -> Iterator[tuple[ipaddress.IPv6Address, int, str]]:
    """Every IPv6 address, with the length of its prefix and its interface's name."""
    for line in _text(table).splitlines():
        octets, _index, prefix, _scope, _flags, interface = line.split()
        yield ipaddress.IPv6Address(int(octets, 16)), int(prefix, 16), interface


def _text(path: Path) -> str:
    # `speed` and `carrier` answer EINVAL while an interface is down.
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    try:
        return int(_text(path))
    except ValueError:
        return 0

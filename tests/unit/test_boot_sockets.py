"""Facts read from /proc for messages and events: who holds a port, whose address it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from castcore.edge.net.bootsockets import interface_index, neighbour_mac
from castcore.edge.net.portholder import bind_error, holder
from castcore.errors import NetworkFailed, NotFound, PortTaken, Refused

UDP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref
  12: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100000A:1F90 0200000A:9999 01 00000000:00000000 00:00000000 00000000     0        0 99 1
   1: 0100000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
"""
ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.7         0x1         0x2         52:54:00:AA:00:07     *        eth1
10.0.0.8         0x1         0x0         00:00:00:00:00:00     *        eth1
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "thread-self/net").mkdir(parents=True)
    (tmp_path / "thread-self/net/udp").write_text(UDP)
    (tmp_path / "thread-self/net/tcp").write_text(TCP)
    for number, name, inode in ((812, "dnsmasq", 4711), (90, "nginx", 99), (91, "apache2", 100)):
        (tmp_path / str(number) / "fd").mkdir(parents=True)
        (tmp_path / str(number) / "comm").write_text(f"{name}\n")
        (tmp_path / str(number) / "fd/3").symlink_to(f"socket:[{inode}]")
    return tmp_path


def test_the_holder_of_a_port_is_named(proc: Path) -> None:
    assert holder("udp", 67, proc) == '"dnsmasq" (process 812)'
    assert holder("tcp", 8080, proc) == '"apache2" (process 91)'  # listening, not merely connected


def test_an_unknown_holder_is_no_guess(proc: Path) -> None:
    assert holder("udp", 69, proc) == ""
    (proc / "812/fd/3").unlink()
    assert holder("udp", 67, proc) == ""


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (errno.EADDRINUSE, PortTaken, "UDP port 67 is taken"),
        (errno.EADDRNOTAVAIL, NotFound, "10.0.0.1"),
        (errno.ENODEV, NotFound, "does not exist"),
        (errno.EACCES, Refused, "needs root"),
        (errno.EPERM, Refused, "needs root"),
        (errno.ENOBUFS, NetworkFailed, "cannot be opened"),
    ],
)
def test_a_failed_bind_is_told_in_the_operators_words(
    number: int, error: type[Exception], says: str
) -> None:
    made = bind_error(OSError(number, "x"), "udp", "10.0.0.1", 67)
    assert type(made) is error
    assert says in made.what


def test_neighbours_are_known_by_address(tmp_path: Path) -> None:
    (tmp_path / "arp").write_text(ARP)
    assert neighbour_mac("10.0.0.7", tmp_path / "arp") == "52:54:00:aa:00:07"
    assert neighbour_mac("10.0.0.8", tmp_path / "arp") == ""
    assert neighbour_mac("10.0.0.9", tmp_path / "arp") == ""
    assert neighbour_mac("10.0.0.7", tmp_path / "none") == ""


def test_a_missing_interface_is_named_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="no such interface: nosuch0") as caught:
        interface_index("nosuch0")
    assert "lo" in caught.value.hint

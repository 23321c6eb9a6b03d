"""Interfaces by name and by address of either family, and what about them would spoil a cast."""

from __future__ import annotations

import ctypes
import socket
import struct
from pathlib import Path

import pytest
from castcore.edge.cast import preflight
from castcore.edge.net import interface, nics
from castcore.edge.net.interface import Interface, family_of, find_interface, named_interfaces
from castcore.errors import NotFound, Refused

FOUR = Interface("eth1", 3, "10.0.0.1", 1000)
SIX = Interface("eth1", 3, "fe80::1", 1000)


def test_an_interface_is_found_by_name_and_by_address() -> None:
    by_name, by_address = find_interface("lo"), find_interface("127.0.0.1")
    assert by_name == by_address
    assert by_name.address == "127.0.0.1"
    assert by_name.mtu >= 1500


@pytest.mark.parametrize("name", ["nope7", "192.0.2.77", "2001:db8::77", ""])
def test_what_is_not_there_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        find_interface(name)


def test_two_interfaces_of_one_address_are_not_cast_on_together(monkeypatch: pytest.MonkeyPatch) -> None:
    vlans = {
        "eth1.5": Interface("eth1.5", 5, "fe80::1", 1000),
        "eth1.6": Interface("eth1.6", 6, "fe80::1", 1000),
        "eth2": Interface("eth2", 7, "fe80::2", 1000),
    }
    monkeypatch.setattr(interface, "find_interface", vlans.__getitem__)
    assert named_interfaces(["eth2", "eth1.5"]) == (vlans["eth2"], vlans["eth1.5"])
    with pytest.raises(Refused, match=r"eth1\.5 and eth1\.6 have one address, fe80::1") as refused:
        named_interfaces(["eth1.5", "eth2", "eth1.6"])
    assert "addresses of their own" in refused.value.hint
    with pytest.raises(Refused, match="named twice"):
        named_interfaces(["eth2", "eth2"])


def test_addresses_tell_their_family() -> None:
    assert family_of("239.193.1.1") is socket.AF_INET
    assert family_of("ff15::1") is socket.AF_INET6
    with pytest.raises(NotFound):
        family_of("eth0")


def test_what_a_frame_carries_and_costs() -> None:
    assert (FOUR.largest_datagram, FOUR.frame_overhead) == (1472, 66)
    assert (SIX.largest_datagram, SIX.frame_overhead) == (1452, 86)


def test_a_link_local_neighbour_is_reached_through_the_interface() -> None:
    assert SIX.reach("fe80::2", 7101) == ("fe80::2", 7101, 0, 3)
    assert SIX.reach("fd00::2", 7101) == ("fd00::2", 7101, 0, 0)
    assert FOUR.reach("10.0.0.2", 7101) == ("10.0.0.2", 7101)
    assert (SIX.host, FOUR.host) == ("[fe80::1]", "10.0.0.1")


def test_ipv6_addresses_of_an_interface_routable_ones_first(tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "fe800000000000000000000000000001 03 40 20 80     eth1\n"
        "fd000000000000000000000000000001 03 40 00 80     eth1\n"
        "fd000000000000000000000000000002 03 40 00 c0     eth1\n"  # tentative
        "fd000000000000000000000000000003 04 40 00 80     eth2\n"
    )
    assert nics.ipv6_addresses("eth1", table) == ("fd00::1", "fe80::1")
    assert nics.ipv6_addresses("eth3", table) == ()
    assert nics.ipv6_addresses("eth1", tmp_path / "none") == ()


def test_multicast_is_refused_by_radio_and_where_it_does_not_fit() -> None:
    assert preflight.obstacle(FOUR, 1452) == ""
    assert "wireless" in preflight.obstacle(Interface("wlan0", 4, "10.0.0.1", 0, wireless=True), 1452)
    assert "MTU" in preflight.obstacle(FOUR, 8940)
    assert preflight.obstacle(Interface("eth1", 3, "fd00::1", 1000, 9000), 8940) == ""


def test_an_operator_is_told_what_to_mend(tmp_path: Path) -> None:
    folder = tmp_path / "eth1"
    folder.mkdir()
    for file, text in (("carrier", "1"), ("speed", "100"), ("duplex", "half")):
        (folder / file).write_text(f"{text}\n")
    found = preflight.sender_warnings(FOUR, tmp_path)
    assert [word for word in ("100 Mbit/s", "half duplex") if any(word in f for f in found)] == [
        "100 Mbit/s",
        "half duplex",
    ]
    (folder / "carrier").write_text("0\n")
    assert any("no link" in f for f in preflight.sender_warnings(FOUR, tmp_path))
    for file, text in (("carrier", "1"), ("speed", "1000"), ("duplex", "full")):
        (folder / file).write_text(f"{text}\n")
    assert preflight.sender_warnings(FOUR, tmp_path) == []
    assert preflight.receiver_warnings(FOUR, tmp_path) == []


def test_flow_control_is_told_to_the_end_that_it_harms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert preflight.pause("lo") == preflight.Pause(obeyed=False, sent=False)
    (tmp_path / "eth1").mkdir()
    (tmp_path / "eth1/carrier").write_text("1\n")
    settings = {"rx": 0, "tx": 0}

    def driver(_fd: object, request: int, argument: bytes) -> bytes:
        """A driver's answer to ETHTOOL_GPAUSEPARAM, written where the request points to."""
        if request != 0x8946:
            raise OSError(95, "not asked for here")
        name, pointer = struct.unpack("16sP16x", argument)
        assert name.rstrip(b"\0") == b"eth1"
        answer = struct.pack("=IIII", 0x12, 1, settings["rx"], settings["tx"])
        ctypes.memmove(pointer, answer, len(answer))
        return argument

    monkeypatch.setattr("castcore.edge.cast.preflight.fcntl.ioctl", driver)
    assert preflight.sender_warnings(FOUR, tmp_path) == []
    settings["rx"] = 1
    (told,) = preflight.sender_warnings(FOUR, tmp_path)
    assert "rx off" in told
    assert preflight.receiver_warnings(FOUR, tmp_path) == []
    settings["rx"], settings["tx"] = 0, 1
    (told,) = preflight.receiver_warnings(FOUR, tmp_path)
    assert "tx off" in told

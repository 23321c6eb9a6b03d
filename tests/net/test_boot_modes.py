"""Modes on real networks: a DHCP server that comes, goes, answers beside us; several interfaces.

The server ``s`` has ``nic0`` and ``nic1``; in each network a machine that may be its DHCP server.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import run
from castcore.edge.net.dhcpprobe import Surroundings, probe
from castcore.errors import NotFound
from castcore.units import MIB

from tests.net.namespaces import inside, ip
from tests.support.boottrees import ROLES, tree
from tests.support.castlab import ENVIRONMENT, Peer
from tests.support.images import blank, make_image, noise
from tests.support.twonetworks import TwoNetworks, serve_words, two_networks

pytestmark = pytest.mark.root

SECONDS = 90.0
SIZE = 8 * MIB


@pytest.fixture
def nets() -> Iterator[TwoNetworks]:
    with two_networks("mode", [(0,), (1,)]) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "tree").mkdir()
    tree(tmp_path / "tree")
    return tmp_path


@contextmanager
def dnsmasq(
    nets: TwoNetworks, net: int, *more: str, host: str = "", interface: str = ""
) -> Iterator[None]:
    """A DHCP server beside ours, at 10.6.NET.1N (or on another host); or what ``more`` makes of it."""
    host, interface = host or f"c{net}", interface or f"wire{net}"
    options = more or (f"--dhcp-range=10.6.{net}.50,10.6.{net}.60",)
    words = ["dnsmasq", "-k", "--port=0", f"--interface={interface}", "--dhcp-leasefile=/dev/null"]
    command = ["ip", "netns", "exec", nets.space(host), *words, "--conf-file=/dev/null", *options]
    with run.started(command, merged=True) as site:
        end = time.monotonic() + 10
        while ":0043 " not in nets.inside(host, "cat", "/proc/net/udp"):
            assert site.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield


def serving(nets: TwoNetworks, folder: Path, *more: str) -> Peer:
    server = nets.start("s", *serve_words(folder, "--boot-tree", str(folder / "tree"), *more))
    server.until(lambda e: e["event"] == "serving", SECONDS)
    return server


def operate(nets: TwoNetworks, folder: Path, *words: str, ok: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """The result of an operator's command."""
    line = (*words, "--json", "--state", str(folder / "state"))
    command = ["ip", "netns", "exec", nets.space("s"), sys.executable, "-m", "castserver", *line]
    said = run.run(command, timeout=30, ok=ok, extra_env=ENVIRONMENT)
    shown: dict[str, Any] = json.loads(said.splitlines()[-1])
    return shown


def booting(nets: TwoNetworks, folder: Path, *words: str, ok: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return operate(nets, folder, "booting", *words, ok=ok)


def mode_of(nets: TwoNetworks, folder: Path, net: int) -> dict[str, Any]:
    shown: dict[str, Any] = booting(nets, folder, "show")["interfaces"][net]
    return shown


def comes_to(server: Peer, interface: str, mode: str, since: int = 0) -> dict[str, Any]:
    """The first event after ``since`` that says that ``interface`` serves in ``mode``."""

    def wanted(event: dict[str, Any]) -> bool:
        later = event in server.events[since:]
        return later and event.get("interface") == interface and event.get("mode") == mode

    return server.until(wanted, SECONDS)


def leased(nets: TwoNetworks, folder: Path, net: int) -> str:
    """The address that a PXE machine in ``net`` is leased, "" when it is none."""
    script = folder / "script"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && echo "$ip"\nexit 0\n')
    script.chmod(0o755)
    client = ["udhcpc", "-i", f"wire{net}", "-f", "-q", "-n", "-t", "2", "-T", "1", "-s", str(script)]
    pxe = ("-V", "PXEClient", "-x", "0x5d:0007")
    command = ["ip", "netns", "exec", nets.space(f"c{net}"), *client, *pxe]
    return run.run(command, timeout=30, ok=(0, 1)).decode().strip()


def survey(nets: TwoNetworks, interface: str, **how: Any) -> Surroundings:
    found: Surroundings = inside(nets.space("s"), lambda: probe(interface, **how))
    return found


def test_the_probe_finds_servers_whatever_the_interfaces_address(nets: TwoNetworks) -> None:
    assert survey(nets, "nic0", seconds=1.0) == Surroundings(())
    with dnsmasq(nets, 0):
        fixed = survey(nets, "nic0").servers
        assert [(s.address, s.dhcp, s.pxe) for s in fixed] == [("10.6.0.10", True, False)]
        assert fixed[0].mac
        ip("-n", nets.space("s"), "addr", "flush", "dev", "nic0")
        assert survey(nets, "nic0").servers == fixed
        ip("-n", nets.space("s"), "addr", "add", "169.254.7.7/16", "dev", "nic0")
        assert survey(nets, "nic0").servers == fixed
    with pytest.raises(NotFound):
        survey(nets, "nosuch0")


def test_the_probe_tells_a_pxe_server_from_a_dhcp_server(nets: TwoNetworks) -> None:
    service = ("--dhcp-range=10.6.0.0,proxy", "--pxe-service=x86PC,Boot,pxelinux")
    with dnsmasq(nets, 0, *service):
        found = survey(nets, "nic0").servers
        assert [(s.address, s.dhcp, s.pxe) for s in found] == [("10.6.0.10", False, True)]
        assert survey(nets, "nic0", pxe=False).servers == ()
    with dnsmasq(nets, 0, "--dhcp-range=10.6.0.50,10.6.0.60", "--dhcp-boot=pxelinux.0"):
        found = survey(nets, "nic0").servers
        assert [(s.address, s.dhcp, s.pxe) for s in found] == [("10.6.0.10", True, True)]


def test_a_lease_that_the_interface_holds_is_known(nets: TwoNetworks) -> None:
    lifetime = ("valid_lft", "600", "preferred_lft", "600")
    ip("-n", nets.space("s"), "addr", "add", "10.6.0.99/24", "dev", "nic0", *lifetime)
    assert survey(nets, "nic0", seconds=0.2).leased == "10.6.0.99"
    assert survey(nets, "nic1", seconds=0.2).leased == ""


def test_each_interface_has_its_own_mode(nets: TwoNetworks, folder: Path) -> None:
    """nic0 beside a DHCP server, nic1 alone; both addresses are fixed."""
    with dnsmasq(nets, 0):
        serving(nets, folder, "--own-dhcp", "nic1")
        shown = [mode_of(nets, folder, net) for net in (0, 1)]
        assert [s["mode"] for s in shown] == ["proxy", "dhcp"]
        assert shown[0]["servers"][0]["address"] == "10.6.0.10"
        assert leased(nets, folder, 1).startswith("10.6.1.")
        off = booting(nets, folder, "off")
        assert off["why"] == "the operator turned it off"
        time.sleep(1.5)
        assert [mode_of(nets, folder, net)["mode"] for net in (0, 1)] == ["skip", "silent"]
        assert not leased(nets, folder, 1)


def test_a_dhcp_server_appears_and_disappears(nets: TwoNetworks, folder: Path) -> None:
    server = serving(nets, folder, "--own-dhcp", "--boot-mode", "nic1=off")
    assert mode_of(nets, folder, 0)["mode"] == "dhcp"
    with dnsmasq(nets, 0):
        comes_to(server, "nic0", "proxy")
        shown = mode_of(nets, folder, 0)
        assert "10.6.0.10" in shown["note"]
        assert shown["dhcp"] == "present"
        since = len(server.events)
    gone = comes_to(server, "nic0", "proxy", since)
    assert gone["dhcp"] != "present", "our own does not begin at once"


def test_own_dhcp_is_withdrawn_within_two_seconds(nets: TwoNetworks, folder: Path) -> None:
    """The other server answers somebody else between two of our probes."""
    server = serving(nets, folder, "--own-dhcp", "--boot-mode", "nic1=off")
    assert leased(nets, folder, 0).startswith("10.6.0.")
    # Not to be found by a probe: it knows another machine only.
    known = ("--dhcp-range=10.6.0.0,static", "--dhcp-host=52:54:00:00:00:77,10.6.0.77", "--no-ping")
    with ExitStack() as stack:
        stack.enter_context(dnsmasq(nets, 0, *known))
        time.sleep(1.0)
        ip("-n", nets.space("hub0"), "link", "add", "known", "type", "veth", "peer", "name", "k0")
        ip("-n", nets.space("hub0"), "link", "set", "known", "master", "br0", "up")
        ip("-n", nets.space("hub0"), "link", "set", "k0", "address", "52:54:00:00:00:77", "up")
        client = ["udhcpc", "-i", "k0", "-f", "-q", "-n", "-t", "3", "-T", "1", "-s", "/bin/true"]
        began = time.monotonic()
        run.run(["ip", "netns", "exec", nets.space("hub0"), *client], timeout=30)
        comes_to(server, "nic0", "proxy")
        assert time.monotonic() - began < 2.0 + 1.0, "asked, offered, heard"
        shown = mode_of(nets, folder, 0)
    assert shown["note"].startswith("own DHCP was withdrawn: 10.6.0.10")
    assert "10.6.0.10" in shown["reason"]


def test_another_pxe_server_is_named_before_we_serve(nets: TwoNetworks, folder: Path) -> None:
    service = ("--dhcp-range=10.6.0.0,proxy", "--pxe-service=x86PC,Boot,pxelinux")
    with dnsmasq(nets, 0, *service):
        server = serving(nets, folder, "--boot-mode", "nic0=proxy", "--boot-mode", "nic1=off")
        of_nic0 = [e for e in server.events if e.get("interface") == "nic0"]
    assert "10.6.0.10" in of_nic0[0]["warning"]
    assert [e["mode"] for e in of_nic0[:2]] == ["silent", "proxy"]


def test_a_link_local_interface_serves_its_range(nets: TwoNetworks, folder: Path) -> None:
    ip("-n", nets.space("s"), "addr", "flush", "dev", "nic0")
    ip("-n", nets.space("s"), "addr", "add", "169.254.7.7/16", "brd", "+", "dev", "nic0")
    serving(nets, folder, "--boot-mode", "dhcp", "--boot-mode", "nic1=off")
    assert leased(nets, folder, 0).startswith("169.254.")


def test_a_changed_address_is_told(nets: TwoNetworks, folder: Path) -> None:
    server = serving(nets, folder, "--boot-mode", "proxy")
    ip("-n", nets.space("s"), "addr", "flush", "dev", "nic0")
    ip("-n", nets.space("s"), "addr", "add", "10.6.0.200/24", "dev", "nic0")
    told = comes_to(server, "nic0", "silent", since=len(server.events) - 1)
    assert "10.6.0.1 any more" in told["reason"]
    assert mode_of(nets, folder, 1)["mode"] == "proxy"


def test_nothing_is_changed_while_a_cast_runs(nets: TwoNetworks, folder: Path) -> None:
    raw = folder / "source.raw"
    raw.write_bytes(noise(SIZE, 3))
    make_image(folder / "images", "sample", raw, (Extent(0, SIZE),))
    server = serving(
        nets, folder, "--boot-mode", "proxy", "--image", "sample", "--start-clients", "1", "--rate", "1"
    )
    cast = server.until(lambda e: e["event"] == "cast", SECONDS)["cast"]
    target = blank(folder / "target.raw", SIZE)
    words = ("castclient", "run", "--json", "--target", str(target), "--interface", "wire0")
    client = nets.start("c0", *words)
    end = time.monotonic() + SECONDS
    while operate(nets, folder, "casts", "show", cast)["state"] != "running":
        assert time.monotonic() < end
        time.sleep(0.2)
    refused = booting(nets, folder, "off", ok=(12,))
    assert f"cast {cast} runs" in refused["error"]
    assert booting(nets, folder, "show")["deploy"] is True
    assert client.result(SECONDS)["state"] == "done"


def test_two_cast_servers_name_each_other(nets: TwoNetworks, folder: Path) -> None:
    first = nets.start("s", *serve_words(folder, "--name", "one"))
    first.until(lambda e: e["event"] == "serving", SECONDS)
    other = ("--state", str(folder / "other"), "--images", str(folder / "images"), "--name", "two")
    second = nets.start("c0", "castserver", "serve", "--json", *other, "--interface", "wire0")
    seen = second.until(lambda e: e["event"] == "neighbour", SECONDS)
    assert (seen["name"], seen["url"]) == ("one", "https://10.6.0.1:8443")
    seen = first.until(lambda e: e["event"] == "neighbour", SECONDS)
    assert (seen["name"], seen["interface"]) == ("two", "nic0")
    assert booting(nets, folder, "show")["neighbours"][0]["name"] == "two"


def test_auto_serves_beside_a_dhcp_server_on_our_own_host(nets: TwoNetworks, folder: Path) -> None:
    """No probe of ours reaches it, and it has the port that our own DHCP would need."""
    site = ("--dhcp-range=10.6.0.50,10.6.0.60", "--no-ping")
    with dnsmasq(nets, 0, *site, host="s", interface="nic0"):
        serving(nets, folder, "--own-dhcp", "--boot-mode", "nic1=off")
        shown = mode_of(nets, folder, 0)
        assert (shown["mode"], shown["problem"], shown["dhcp"]) == ("proxy", "", "absent")
        assert 'UDP port 67 is taken by "dnsmasq"' in shown["reason"]
        assert leased(nets, folder, 0).startswith("10.6.0.5"), "by dnsmasq, as before"


def test_a_boot_tree_that_is_replaced_is_served_at_once(nets: TwoNetworks, folder: Path) -> None:
    serving(nets, folder, "--boot-mode", "proxy", "--boot-mode", "nic1=off")

    def kernel() -> bytes:
        command = ["ip", "netns", "exec", nets.space("c0"), "curl", "-sf"]
        return run.run([*command, "http://10.6.0.1:8080/boot/vmlinuz"], timeout=30)

    assert kernel() == ROLES["kernel"]
    (folder / "tree/tree.json").unlink()
    (folder / "tree/kernel").unlink()
    tree(folder / "tree", {"kernel": b"the next kernel"})
    end = time.monotonic() + 10
    while kernel() != b"the next kernel":
        assert time.monotonic() < end
        time.sleep(0.1)

"""The DHCP script of the client under a real udhcpc, against a real DHCP server across a cable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castclient.dhcp import dhcp_command, dhcp_script
from castcore.edge import run

from tests.net.namespaces import Cable, cable, ip

pytestmark = pytest.mark.root

LEASE_SECONDS = 120


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Cable]:
    run.require(["busybox", "dnsmasq", "ip"], hint="tools/packages.txt lists the packages of the tests")
    with cable("dhcp") as made:
        ip("-n", made.left, "addr", "add", "192.0.2.1/24", "dev", made.wire)
        ip("-n", made.left, "link", "set", made.wire, "up")
        with run.started(["ip", "netns", "exec", made.left, *dnsmasq(tmp_path)], merged=True):
            yield made


def dnsmasq(folder: Path) -> list[str]:
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        f"--dhcp-leasefile={folder / 'leases'}",
        f"--pid-file={folder / 'pid'}",
        f"--dhcp-range=192.0.2.50,192.0.2.59,255.255.255.0,{LEASE_SECONDS}s",
        "--dhcp-option=option:router,192.0.2.1",
        "--dhcp-option=option:dns-server,192.0.2.7,192.0.2.8",
    ]


@contextmanager
def udhcpc(wire: Cable, folder: Path) -> Iterator[Path]:
    """The client's DHCP program on the right end; yields the resolv.conf it writes."""
    script, resolv = folder / "script", folder / "resolv.conf"
    script.write_text(dhcp_script(resolv))
    script.chmod(0o755)
    inside = ["ip", "netns", "exec", wire.right]
    with (
        (folder / "log").open("wb") as log,
        run.started([*inside, *dhcp_command(wire.wire, script)], merged=True, stdout=log),
    ):
        yield resolv


def address(wire: Cable) -> str:
    shown = run.run(["ip", "-j", "-n", wire.right, "addr", "show", "dev", wire.wire], timeout=10)
    found = [a for a in json.loads(shown)[0]["addr_info"] if a["family"] == "inet"]
    return f"{found[0]['local']}/{found[0]['prefixlen']}" if found else ""


def link_local(wire: Cable) -> list[str]:
    shown = run.run(["ip", "-j", "-6", "-n", wire.right, "addr", "show", "dev", wire.wire], timeout=10)
    return [a["local"] for i in json.loads(shown) for a in i["addr_info"] if a["scope"] == "link"]


def until(holds: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_address_route_and_name_servers_are_set(wire: Cable, tmp_path: Path) -> None:
    ip("-n", wire.right, "link", "set", wire.wire, "up")
    with udhcpc(wire, tmp_path) as resolv:
        assert until(lambda: address(wire).startswith("192.0.2.5") and resolv.exists(), 20)
        routes = run.run(["ip", "-n", wire.right, "route"], timeout=10).decode()
        assert f"default via 192.0.2.1 dev {wire.wire}" in routes
        assert link_local(wire), "a server of this network may be found by IPv6 alone"
        assert resolv.read_text() == "nameserver 192.0.2.7\nnameserver 192.0.2.8\n"


def test_a_link_that_comes_late_is_only_late(wire: Cable, tmp_path: Path) -> None:
    ip("-n", wire.left, "link", "set", wire.wire, "down")
    ip("-n", wire.right, "link", "set", wire.wire, "up")
    with udhcpc(wire, tmp_path):
        # Longer than one whole round of tries, so that the retry is what is tested.
        assert not until(lambda: address(wire), 11)
        ip("-n", wire.left, "link", "set", wire.wire, "up")
        assert until(lambda: address(wire), 25)


def test_a_renewal_keeps_the_address_in_place(wire: Cable, tmp_path: Path) -> None:
    ip("-n", wire.right, "link", "set", wire.wire, "up")
    with udhcpc(wire, tmp_path):
        assert until(lambda: address(wire), 20)
        had = address(wire)
        script = tmp_path / "script"
        lease = {
            "interface": wire.wire,
            "ip": had.partition("/")[0],
            "mask": "24",
            "router": "192.0.2.1",
        }
        command = ["ip", "netns", "exec", wire.right, "ip", "monitor", "address"]
        with run.started(command, merged=True) as monitor:
            time.sleep(0.5)
            inside = ["ip", "netns", "exec", wire.right, str(script), "renew"]
            run.run(inside, timeout=10, extra_env=lease)
            time.sleep(0.5)
            monitor.terminate()
            assert monitor.stdout is not None
            assert monitor.stdout.read() == b""
        assert address(wire) == had

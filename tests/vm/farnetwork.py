"""A second network of the lab, reached through a DHCP relay or by a second interface of the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge import run

from tests.vm import network
from tests.vm.network import PREFIX, SERVER_ADDRESS, SITE_ADDRESS, SUBNET, Network, inside

BRIDGE = "far"
FAR_SUBNET = "192.168.78"
ROUTER_ADDRESS = f"{FAR_SUBNET}.1"
SERVER_FAR_ADDRESS = f"{FAR_SUBNET}.2"
SERVER_FAR_INTERFACE = "cast1"
_RELAY_NEAR = f"{SUBNET}.3"
_NEAR, _FAR = "near0", "far0"
_SECONDS = 20.0


def second_leg(lab: Network) -> None:
    """A second network without any server of the site; ours gets an interface in it."""
    network.add_bridge(lab, BRIDGE)
    network.attach(lab, lab.server, SERVER_FAR_INTERFACE, SERVER_FAR_ADDRESS, BRIDGE)


@contextmanager
def relayed(lab: Network, folder: Path) -> Iterator[None]:
    """A second network behind a router that relays DHCP to the site's server and to ours (RFC 1542)."""
    namespace = f"{PREFIX}-{os.getpid()}-relay"
    network.add_bridge(lab, BRIDGE)
    run.run(["ip", "netns", "add", namespace], timeout=_SECONDS)
    try:
        _route(lab, namespace)
        with _relay(namespace, folder / "relay.log"):
            yield
    finally:
        network.remove(namespace)


def _route(lab: Network, namespace: str) -> None:
    network.attach(lab, namespace, _NEAR, _RELAY_NEAR)
    network.attach(lab, namespace, _FAR, ROUTER_ADDRESS, BRIDGE)
    forward = ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]
    run.run([*inside(namespace), *forward], timeout=_SECONDS)
    for end in (lab.site, lab.server):
        way = ["route", "add", f"{FAR_SUBNET}.0/24", "via", _RELAY_NEAR]
        run.run(["ip", "-n", end, *way], timeout=_SECONDS)


@contextmanager
def _relay(namespace: str, log: Path) -> Iterator[None]:
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]
    command += ["--log-facility=-", "--pid-file=", "--log-dhcp"]
    command += [f"--dhcp-relay={ROUTER_ADDRESS},{to}" for to in (SITE_ADDRESS, SERVER_ADDRESS)]
    with log.open("wb") as said, run.started([*inside(namespace), *command], stdout=said, merged=True):
        yield

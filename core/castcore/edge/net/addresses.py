"""Changing addresses and routes of a machine that is ours, by busybox's `ip` as in the boot image."""

from __future__ import annotations

import ipaddress

from castcore.edge import run

_SECONDS = 10.0


def up(interface: str) -> None:
    """Bring ``interface`` up. Raises MissingProgram, ProgramFailed, as all here do."""
    _ip("link", "set", interface, "up")


def add(interface: str, address: str) -> None:
    """Give ``interface`` the ``address`` ("192.0.2.7/24"); one that it has stays."""
    kind = ("broadcast", "+") if ipaddress.ip_interface(address).version == 4 else ()
    _ip("addr", "replace", address, *kind, "dev", interface)


def remove(interface: str, address: str) -> None:
    """Take ``address`` away from ``interface``."""
    _ip("addr", "del", address, "dev", interface)


def route(destination: str, interface: str, *, gateway: str = "", metric: int = 0) -> None:
    """``destination`` ("default", or a network) is reached over ``interface`` from now on."""
    via = ("via", gateway) if gateway else ()
    behind = ("metric", str(metric)) if metric else ()
    family = ("-6",) if ":" in destination + gateway else ()
    _ip(*family, "route", "replace", destination, *via, "dev", interface, *behind)


def add_vlan(card: str, interface: str, vlan: int) -> None:
    """Make ``interface``, the VLAN numbered ``vlan`` on ``card``."""
    _ip("link", "add", "link", card, "name", interface, "type", "vlan", "id", str(vlan))


def _ip(*words: str) -> None:
    run.run(["busybox", "ip", *words], timeout=_SECONDS)

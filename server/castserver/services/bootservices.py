"""All network-boot services of one interface behind one start and one stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Protocol

from castcore.boot import BootEvent, BootMode, BootPlace, BootPolicy, LeaseStore, MemoryStore, Pool
from castcore.edge.net import nics
from castcore.edge.net.bootsockets import interface_index
from castcore.errors import NotFound, Refused

from castserver.services import bootfiles
from castserver.services.boothttp import BootHttp
from castserver.services.dhcp import SimpleDhcp
from castserver.services.proxydhcp import ProxyDhcp
from castserver.services.routeranswers import RouterAnswers
from castserver.services.tftp import Tftp


@dataclass(frozen=True)
class BootSettings:
    """What to serve on one interface. ``address`` is ours there; OFF serves nothing at all.

    ``pool`` None: the upper half of the interface's network (DHCP mode only). ``rules``: the rule file
    by which clients choose their disk. ``replace_ipxe``: see BootPlace.
    """

    interface: str
    address: str
    mode: BootMode
    tree: Path
    server_url: str
    server_key: bytes
    http_port: int = 8080
    extra_cmdline: str = ""
    pool: Pool | None = None
    rules: bytes = b""
    replace_ipxe: bool = False


class _Service(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


class BootServices:
    """Proxy or simple DHCP, TFTP and HTTP for one interface; ``leases`` None: kept in memory."""

    def __init__(
        self,
        settings: BootSettings,
        policy: BootPolicy,
        on_event: Callable[[BootEvent], None],
        leases: LeaseStore | None = None,
    ) -> None:
        self.settings = settings
        self._leases = leases or MemoryStore()
        self._policy = policy
        self._tell = on_event
        self._routers = RouterAnswers(settings.interface)
        self._running: list[_Service] = []

    def start(self) -> None:
        """Open every port, then answer: no machine is offered a file that cannot be fetched.

        Raises NotFound (interface, address, boot tree), BadImage (boot tree), PortTaken, Refused
        (not root, unusable kernel arguments, no pool); nothing stays open then.
        """
        if self.settings.mode is BootMode.OFF:
            return
        with contextlib.ExitStack() as undo:
            opened = []
            for make in (self._http, self._tftp, self._dhcp):
                opened.append(make())
                undo.callback(opened[-1].stop)
            undo.pop_all()
        for service in opened:
            service.start()
        self._routers.start()
        self._running = opened

    def stop(self) -> None:
        """Stop answering (DHCP first) and free every port."""
        self._routers.stop()
        while self._running:
            self._running.pop().stop()

    def _on_event(self, event: BootEvent) -> None:
        self._routers.note(event)
        self._tell(event)

    def _place(self) -> BootPlace:
        settings = self.settings
        return BootPlace(IPv4Address(settings.address), settings.http_port, settings.replace_ipxe)

    def _files(self) -> bootfiles.BootFiles:
        settings = self.settings
        return bootfiles.load(
            settings.tree,
            self._place(),
            server_url=settings.server_url,
            server_key=settings.server_key,
            extra=settings.extra_cmdline,
            rules=settings.rules,
        )

    def _http(self) -> _Service:
        interface_index(self.settings.interface)
        return BootHttp(self.settings.address, self.settings.http_port, self._files(), self._on_event)

    def _tftp(self) -> _Service:
        return Tftp(self.settings.address, self._files(), self._on_event)

    def _dhcp(self) -> _Service:
        interface, place = self.settings.interface, self._place()
        if self.settings.mode is BootMode.PROXY:
            return ProxyDhcp(interface, place, self._policy, self._on_event)
        pool = self.settings.pool or _default_pool(interface, place.address)
        return SimpleDhcp(interface, place, self._policy, pool, self._on_event, self._leases)


def _default_pool(interface: str, address: IPv4Address) -> Pool:
    for text in nics.nic(interface).addresses:
        found = IPv4Interface(text)
        if found.ip == address:
            try:
                return Pool.of(found)
            except ValueError as error:
                raise Refused(f"{interface}: {error}", hint="give it a larger network") from None
    raise NotFound(f"{interface} does not have the address {address}", hint="see `ip addr`")

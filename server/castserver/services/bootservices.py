"""All network-boot services of one interface behind one start and one stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Protocol

from castcore.boot import (
    BootDecision,
    BootEvent,
    BootPlace,
    BootPolicy,
    DhcpRequest,
    Everyone,
    InterfaceMode,
    LeaseStore,
    MemoryStore,
    Pool,
    bootnames,
)
from castcore.edge.net import nics
from castcore.edge.net.bootsockets import interface_index
from castcore.errors import NotFound, Refused

from castserver.services import bootfiles
from castserver.services.boothttp import BootHttp
from castserver.services.dhcp import SimpleDhcp
from castserver.services.imageorders import NO_ORDERS, ImageOrders
from castserver.services.machinefiles import MachineFiles
from castserver.services.proxydhcp import ProxyDhcp
from castserver.services.routeranswers import RouterAnswers
from castserver.services.servedfiles import ServedFiles
from castserver.services.tftp import Tftp


@dataclass(frozen=True)
class BootSettings:
    """What to serve on one interface. ``address`` is ours there; SILENT serves nothing at all.

    ``pool`` None: the upper half of the interface's network (DHCP mode only). ``rules``: the rule file
    by which clients choose their disk. ``replace_ipxe``: see BootPlace.
    """

    interface: str
    address: str
    mode: InterfaceMode
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
        orders: ImageOrders = NO_ORDERS,
    ) -> None:
        self.settings = settings
        self._leases = leases or MemoryStore()
        self._policy = policy
        self._orders = orders
        self._tell = on_event
        self._routers = RouterAnswers(settings.interface)
        self._running: list[_Service] = []
        self._answering: _Service | None = None
        self._files: ServedFiles | None = None
        self._mode = InterfaceMode.SILENT
        self._machines: MachineFiles | None = None

    def start(self) -> None:
        """Open every port, then answer: no machine is offered a file that cannot be fetched.

        Raises NotFound (interface, address, boot tree), BadImage (boot tree), PortTaken, Refused
        (not root, unusable kernel arguments, no pool); nothing stays open then.
        """
        if self.settings.mode is InterfaceMode.SILENT:
            return
        with contextlib.ExitStack() as undo:
            interface_index(self.settings.interface)
            self._files = files = ServedFiles(self.settings.tree, self._load, self._on_event)
            undo.callback(self._close_files)
            opened = []
            for make in (self._http, self._tftp):
                opened.append(make(files))
                undo.callback(opened[-1].stop)
            answering = self._dhcp(self.settings.mode)
            undo.pop_all()
        self._running, self._answering, self._mode = opened, answering, self.settings.mode
        try:
            for service in (*opened, answering):
                service.start()
            self._routers.start()
        except BaseException:
            self.stop()
            raise

    def change(self, mode: InterfaceMode) -> None:
        """Answer in another ``mode`` from now on; who is loading files goes on loading them.

        Raises as `start`; nobody is answered then.
        """
        if self._answering is not None:
            self._answering.stop()
            self._answering = None
        if mode is not InterfaceMode.SILENT:
            answering = self._dhcp(mode)
            answering.start()
            self._answering = answering
        self._mode = mode

    def refresh(self) -> None:
        """Serve what has come in place of the boot tree; what was begun is finished with the old one."""
        had_arm64 = self._has_arm64()
        if self._files is not None and self._files.refresh() and self._has_arm64() != had_arm64:
            self.change(self._mode)

    def stop(self) -> None:
        """Stop answering (DHCP first) and free every port."""
        self._routers.stop()
        self.change(InterfaceMode.SILENT)
        while self._running:
            self._running.pop().stop()
        self._close_files()

    def _has_arm64(self) -> bool:
        return self._files is not None and bootnames.SHIM_ARM64 in self._files.tftp

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _on_event(self, event: BootEvent) -> None:
        self._routers.note(event)
        self._tell(event)

    def _meet(self, request: DhcpRequest) -> None:
        if self._machines is not None:
            self._machines.meet(request)

    def _place(self) -> BootPlace:
        settings = self.settings
        return BootPlace(IPv4Address(settings.address), settings.http_port, settings.replace_ipxe)

    def _load(self) -> bootfiles.BootFiles:
        settings = self.settings
        tree = bootfiles.load(
            settings.tree,
            self._place(),
            server_url=settings.server_url,
            server_key=settings.server_key,
            extra=settings.extra_cmdline,
            rules=settings.rules,
        )
        own = MachineFiles(tree.client, self._policy, self._orders, self._on_event)
        self._machines = own
        return replace(tree.files, own=own.find)

    def _http(self, files: bootfiles.Offered) -> _Service:
        return BootHttp(self.settings.address, self.settings.http_port, files, self._on_event)

    def _tftp(self, files: bootfiles.Offered) -> _Service:
        return Tftp(self.settings.address, files, self._on_event)

    def _dhcp(self, mode: InterfaceMode) -> _Service:
        interface = self.settings.interface
        place = replace(self._place(), arm64=self._has_arm64())
        if mode is InterfaceMode.PROXY:
            return ProxyDhcp(interface, place, self._policy, self._on_event, self._meet)
        if mode is InterfaceMode.SKIP:
            return ProxyDhcp(interface, place, Everyone(BootDecision.LOCAL), self._on_event)
        pool = self.settings.pool or _default_pool(interface, place.address)
        return SimpleDhcp(interface, place, self._policy, pool, self._on_event, self._leases, self._meet)


def _default_pool(interface: str, address: IPv4Address) -> Pool:
    for text in nics.nic(interface).addresses:
        found = IPv4Interface(text)
        if found.ip == address:
            try:
                return Pool.of(found)
            except ValueError as error:
                raise Refused(f"{interface}: {error}", hint="give it a larger network") from None
    raise NotFound(f"{interface} does not have the address {address}", hint="see `ip addr`")

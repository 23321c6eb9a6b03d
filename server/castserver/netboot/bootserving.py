"""Serves a PXE tree on the server's interfaces: the one it was given, or that of a deploy medium."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

from castcore.boot import BootEvent, InterfaceMode
from castcore.edge.net.interface import Interface
from castcore.errors import FleetcastError, PortTaken

from castserver.netboot.bootkeeper import BootKeeper
from castserver.netboot.bootstate import Choice, Kept, Listeners
from castserver.parts import ServerParts
from castserver.services.bootservices import BootServices, BootSettings
from castserver.settings import ServerSettings

log = logging.getLogger("fleetcast")


class BootServing:
    """Network booting of one server with the public ``key``; its calls come from any thread."""

    def __init__(
        self, settings: ServerSettings, key: bytes, parts: ServerParts, listeners: Listeners
    ) -> None:
        self._settings, self._key = settings, key
        self._parts, self._listeners = parts, listeners
        self._lock = threading.Lock()
        self._wish = 0
        self._assumed = self._stopped = False

    def serve(self, tree: Path) -> None:
        """Serve ``tree``. Raises NotFound, BadImage, PortTaken, Refused, NetworkFailed."""
        settings, booting = self._settings, self._parts.booting
        # Firmware boots over IPv4.
        interfaces = [own for own in settings.interfaces if own.family is socket.AF_INET]
        if not self._assumed:  # what the operator chooses meanwhile holds for the next tree
            choices = {own.name: self._choice(own.name) for own in interfaces}
            booting.assume(choices, settings.deploy_ends)
            self._assumed = True
        keepers = {own.name: self._keeper(own, tree) for own in interfaces}
        try:
            booting.start(keepers)
        except PortTaken as error:
            instead = "or serve beside it with --boot-mode proxy, or boot nothing with --boot-mode off"
            raise PortTaken(error.what, hint=f"{error.hint}, {instead}") from None

    def stop(self) -> None:
        """Serve nothing any more, whatever is to be followed from now on."""
        self._stopped = True
        self._parts.booting.stop()  # at once, so that a start that waits ends
        with self._lock:  # what was about to start has started
            self._parts.booting.stop()

    def follow(self, tree: Path | None) -> None:
        """From now on ``tree`` (None: nothing), which may be gone before it is served.

        Returns at once: networks are asked who else serves them, and that takes its time.
        """
        self._wish += 1
        wish = self._wish
        work = threading.Thread(target=self._change, args=(tree, wish), name="boot tree", daemon=True)
        work.start()

    def _change(self, tree: Path | None, wish: int) -> None:
        booting = self._parts.booting
        booting.stop()  # at once: whoever waits below for another tree waits in vain
        with self._lock:
            booting.stop()
            if tree is None or self._stopped or wish != self._wish:
                return
            try:
                self.serve(tree)
            except FleetcastError as error:
                log.error("the boot files in %s cannot be served: %s", tree, error.what)
                booting.stop()

    def _keeper(self, own: Interface, tree: Path) -> BootKeeper:
        settings, booting = self._settings, self._parts.booting

        def services(mode: InterfaceMode) -> BootServices:
            boot = BootSettings(
                interface=own.name,
                address=own.address,
                mode=mode,
                tree=tree,
                server_url=settings.url_on(own),
                server_key=self._key,
                http_port=settings.http_port,
                extra_cmdline=settings.extra_cmdline,
                replace_ipxe=settings.replace_ipxe,
                rules=settings.rules,
            )
            leases = self._parts.leases.on(own.name)
            once = self._parts.once
            return BootServices(boot, once, self._note_boot, orders=once, leases=leases)

        choice = booting.chosen(own.name)
        return BootKeeper(own, choice, services, booting.setting, self._note_kept)

    def _choice(self, interface: str) -> Choice:
        """What the command line says of the interface, else what was chosen for it last."""
        chosen = self._parts.booting.chosen(interface)
        wanted = self._settings.wanted.get(interface, chosen.wanted)
        return Choice(wanted, chosen.own_dhcp or interface in self._settings.own_dhcp)

    def _note_kept(self, kept: Kept) -> None:
        self._parts.clients.changed.fire()
        self._listeners.kept(kept)

    def _note_boot(self, event: BootEvent) -> None:
        self._parts.boots.note(event)
        self._listeners.boot(event)

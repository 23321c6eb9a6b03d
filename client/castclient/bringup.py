"""Every wired card up at once, each asking for an address by itself and never giving up.

A port that waits for spanning tree forwards nothing for up to 60 s after the link is there, and some
links come late: so each card is waited for and asked on for ever. Cards that appear later (a slow
driver, a USB adapter) are brought up when they do. Where nobody answers DHCP a link-local address is
taken until somebody does; an address given by hand is used on every card until the server is found.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from castcore.bootsettings import BootSettings
from castcore.control import Nic
from castcore.edge import run
from castcore.edge.net import addresses, nics
from castcore.errors import DiskFailed, FleetcastError

from castclient import cards, linkclaim, routes
from castclient.addressing import static_places
from castclient.dhcp import SCRIPT, dhcp_command, dhcp_script

LOOK_SECONDS = 2.0
RESTART_SECONDS = 5.0
# So long a link is waited for before a card is asked on without one: some drivers never tell.
LINK_SECONDS = 90.0
# udhcpc's first round of questions, and some more for a port that has just begun to forward.
LINK_LOCAL_AFTER = 12.0
_STEP = 0.5


class BringUp:
    """Keeps every wired card up and asking for an address; ``say`` gets what happens."""

    def __init__(self, told: BootSettings, say: Callable[[str], None]) -> None:
        self._told, self._say = told, say
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._keepers: dict[str, _Keeper] = {}
        self._settled = ""
        self._routed: set[str] = set()  # the interfaces with a route by the gateway that was told
        self._failed: dict[str, str] = {}  # what was said last of interfaces that cannot be set up
        self._watcher = threading.Thread(target=self._watch, name="bring-up", daemon=True)

    def start(self) -> None:
        """Bring up what is there now, and go on watching. Raises DiskFailed without a place to write."""
        try:
            SCRIPT.parent.mkdir(parents=True, exist_ok=True)
            SCRIPT.write_text(dhcp_script())
            SCRIPT.chmod(0o755)
        except OSError as error:
            raise DiskFailed(f"cannot write {SCRIPT}: {error.strerror}") from None
        self._watcher.start()

    def stop(self) -> None:
        """End the DHCP clients; addresses stay."""
        self._ended.set()
        self._watcher.join()
        for keeper in self._keepers.values():
            keeper.thread.join()

    def settle(self, interface: str, url: str) -> None:
        """The server at ``url`` was found on ``interface``: that is the way to it from now on."""
        if not interface:
            return
        self._settled = interface
        self._place_static()
        try:
            used = [cards.interface_of(card.name, self._told) for card in cards.wired(self._told)]
            routes.settle(interface, url, used)
        except FleetcastError as error:
            self._say(f"{interface}: {error.what}")

    def _watch(self) -> None:
        began, warned = time.monotonic(), False
        while not self._ended.is_set():
            found = cards.wired(self._told)
            for card in found:
                keeper = self._keepers.get(card.name)
                if keeper is None or not keeper.thread.is_alive():
                    self._keepers[card.name] = _Keeper(card.name, self._told, self._say, self._ended)
            self._place_static()
            if not warned and time.monotonic() - began > LINK_SECONDS:
                warned = True
                self._warn([card.name for card in found if card.link], [card.name for card in found])
            self._ended.wait(LOOK_SECONDS)

    def _warn(self, linked: list[str], found: list[str]) -> None:
        if not found:
            wanted = f" called {self._told.nic}" if self._told.nic else ""
            self._say(f"this machine has no wired network card{wanted} that we have a driver for")
        elif not linked:
            self._say(f"no link on {', '.join(found)} after {LINK_SECONDS:.0f} s: look at the cables")

    def _place_static(self) -> None:
        """Give the interfaces the address that was told, where it belongs now, and the others none."""
        told = self._told
        if not told.address:
            return
        with self._lock:
            self._place(told)

    def _place(self, told: BootSettings) -> None:
        found = _interfaces(told)
        places = static_places([nic.name for nic in found if nic.link], self._settled)
        for nic in found:
            try:
                self._place_on(nic.name, told, wanted=nic.name in places)
            except FleetcastError as error:  # the other cards may do
                if self._failed.get(nic.name) != error.what:
                    self._say(f"{nic.name}: {error.what}")
                self._failed[nic.name] = error.what
            else:
                self._failed.pop(nic.name, None)

    def _place_on(self, name: str, told: BootSettings, *, wanted: bool) -> None:
        has = told.address in _own_addresses(name, told)
        if not (wanted and has):
            self._routed.discard(name)  # the route went with the address, or with the card
        if not wanted:
            if has:
                addresses.remove(name, told.address)
            return
        if not has:
            addresses.add(name, told.address)
            self._say(f"{name}: {told.address}, as told")
        if told.gateway and name not in self._routed:
            metric = 100 + nics.index(name)
            addresses.route("default", name, gateway=told.gateway, metric=metric)
            self._routed.add(name)


class _Keeper:
    """Keeps one card up, in a thread that ends with the card, and asks for an address there."""

    def __init__(
        self, card: str, told: BootSettings, say: Callable[[str], None], ended: threading.Event
    ) -> None:
        self._card, self._told, self._say, self._ended = card, told, say, ended
        self._interface = cards.interface_of(card, told)
        self._said = ""
        self.thread = threading.Thread(target=self._keep, name=f"keeper {card}", daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        while not self._ended.is_set() and nics.exists(self._card):
            try:
                addresses.up(self._card)
                self._make_vlan()
                self._once(f"{self._card}: up, waiting for a link")
                self._wait_for_link()
                if self._told.address:
                    self._stay()
                else:
                    self._ask()
            except (FleetcastError, OSError) as error:
                self._once(f"{self._card}: {getattr(error, 'what', error)}")
                self._ended.wait(RESTART_SECONDS)

    def _make_vlan(self) -> None:
        if self._interface == self._card:
            return
        if not nics.exists(self._interface):
            addresses.add_vlan(self._card, self._interface, self._told.vlan)
        addresses.up(self._interface)

    def _wait_for_link(self) -> None:
        end = time.monotonic() + LINK_SECONDS
        while time.monotonic() < end and not self._link() and not self._ended.is_set():
            self._ended.wait(_STEP)

    def _link(self) -> bool:
        return nics.nic(self._interface).link

    def _stay(self) -> None:
        """Nothing is asked: the watcher gives the address. Until the interface is gone."""
        while nics.exists(self._interface) and not self._ended.wait(LOOK_SECONDS):
            pass

    def _ask(self) -> None:
        """Ask for an address until the DHCP client ends, which it does not by itself."""
        self._once(f"{self._interface}: asking for an address")
        with (
            Path("/dev/null").open("wb") as null,
            run.started(dhcp_command(self._interface), merged=True, stdout=null) as client,
        ):
            asked, had_link = time.monotonic(), True
            while client.poll() is None and not self._ended.wait(_STEP):
                link = self._link()
                if link and not had_link:
                    # Perhaps to another network: ask anew; the address stays until that answers.
                    client.send_signal(signal.SIGUSR1)
                    asked = time.monotonic()
                had_link = link
                patience = time.monotonic() - asked > LINK_LOCAL_AFTER
                if link and patience and not nics.ipv4_address(self._interface):
                    self._claim(lambda: client.poll() is None)

    def _claim(self, asking: Callable[[], bool]) -> None:
        """Hold a link-local address until DHCP has answered, ends ``asking``, or the link is gone."""
        try:
            linkclaim.hold(
                self._interface, self._ended, self._say, linked=lambda: self._link() and asking()
            )
        except (FleetcastError, OSError) as error:
            self._once(f"{self._interface}: no link-local address: {getattr(error, 'what', error)}")
            self._ended.wait(RESTART_SECONDS)

    def _once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)


def _interfaces(told: BootSettings) -> list[Nic]:
    names = (cards.interface_of(card.name, told) for card in cards.wired(told))
    return [nics.nic(name) for name in names if nics.exists(name)]


def _own_addresses(name: str, told: BootSettings) -> tuple[str, ...]:
    if ":" in told.address:
        _, _, length = told.address.partition("/")
        return tuple(f"{address}/{length}" for address in nics.ipv6_addresses(name))
    return nics.nic(name).addresses

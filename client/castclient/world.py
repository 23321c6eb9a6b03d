"""The client's hands: each action of the table as a thread that answers with happenings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from castcore import __version__
from castcore.control import Nic, Order, OrderKind, Registration, Report
from castcore.disk.objections import objections
from castcore.edge import devices, dmi, efivars
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.cast.peers import STAY_SECONDS
from castcore.edge.disk.bootafter import boot_afterwards
from castcore.edge.net import nics
from castcore.errors import FleetcastError
from castcore.image import Manifest

from castclient import inventory, keyboard, locate, power
from castclient.job import CastEnd, CastJob
from castclient.journal import Journal
from castclient.link import RETRY_SECONDS, Forgotten, Reporter, ServerLink
from castclient.model import CastNow
from castclient.phases import Action, Event
from castclient.program import Facts, Happening, Post, leaving_kind
from castclient.settings import Settings

# Then the server may have come back under another address, and is looked for anew.
GIVE_UP_SECONDS = 30.0
# How long a finished client waits for its server before it restarts untold.
TOLD_SECONDS = 300.0
LEAVE_SECONDS = 3.0
# What the loop hears when an action has died of an error it did not foresee: it tries again.
_AFTER_DEATH = {
    Action.SEARCH: Event.GAVE_UP,
    Action.REGISTER: Event.GAVE_UP,
    Action.LISTEN: Event.LOST,
    Action.CAST: Event.CAST_FAILED,
    Action.TELL: Event.TOLD_STAY,
}


class RealWorld:
    """Implements :class:`castclient.program.World` on this machine."""

    def __init__(self, settings: Settings, journal: Journal, keyboards: tuple[str, ...]) -> None:
        self._settings, self._journal, self._keyboards = settings, journal, keyboards
        self._link: ServerLink | None = None
        self._reporter = Reporter(self._send)
        self._machine = dmi.machine()
        self._registration: Registration | None = None
        self._end: CastEnd | None = None
        self._writing = False
        self._reporter.start()

    def close(self) -> None:
        """Send nothing more; what still waits for the server ends with the process."""
        self._reporter.stop()

    def facts(self) -> Facts:
        """The machine as it is now."""
        return Facts(self._machine, self._nics())

    def tell(self, report: Report) -> None:
        """Make ``report`` the latest the server shall have."""
        self._reporter.tell(report)

    def perform(self, action: Action, happening: Happening, order: Order | None, post: Post) -> None:
        """Begin ``action`` in a thread of its own."""
        work: dict[Action, Callable[[], None]] = {
            Action.SEARCH: lambda: self._search(post),
            Action.ASK: lambda: self._ask(happening.servers, post),
            Action.REGISTER: lambda: self._register(happening.servers, post),
            Action.LISTEN: lambda: self._listen(post),
            Action.CAST: lambda: self._cast(order, post),
            Action.TELL: lambda: self._tell(order, post),
            Action.LEAVE: lambda: self._leave(order),
        }
        # Daemons: one may wait for the server for ever, and must not keep a host's process alive.
        threading.Thread(
            target=self._run, args=(action, work[action], post), name=action, daemon=True
        ).start()

    def _run(self, action: Action, work: Callable[[], None], post: Post) -> None:
        """Do ``work``; an action must never die in silence, least of all a cast."""
        try:
            work()
        except FleetcastError as error:
            self._died(action, error.what, post, error)
        except BaseException as error:
            self._died(action, f"internal error: {error!r}", post)
            raise

    def _died(self, action: Action, text: str, post: Post, error: FleetcastError | None = None) -> None:
        self._journal.add(f"{action} ended: {text}")
        if action in _AFTER_DEATH:
            time.sleep(RETRY_SECONDS)  # what fails at once would fail in a busy loop
            post(Happening(_AFTER_DEATH[action], text=text, error=error))

    def _search(self, post: Post) -> None:
        while True:
            found = locate.look(self._settings, self._journal.add)
            if found:
                event = Event.FOUND if len(found) == 1 else Event.FOUND_SEVERAL
                post(Happening(event, servers=found))
                return
            time.sleep(0.5)

    def _ask(self, servers: tuple[FoundServer, ...], post: Post) -> None:
        number = keyboard.number(self._keyboards, len(servers))
        post(Happening(Event.CHOSEN, servers=(servers[number - 1],)))

    def _register(self, servers: tuple[FoundServer, ...], post: Post) -> None:
        """Register with the server just found, else again with the present one."""
        if servers and (self._link is None or self._link.server != servers[0]):
            self._link = ServerLink(servers[0])
        if self._link is not None:
            post(self._registered(self._link))

    def _registered(self, link: ServerLink) -> Happening:
        end, failed = time.monotonic() + GIVE_UP_SECONDS, False
        while True:
            if link.client:
                self._follow(link, failed=failed)
            try:
                client = link.register(self._inventory())
            except FleetcastError as error:
                self._journal.add(error.what)
                failed = True
            else:
                self._reporter.again()
                return Happening(Event.REGISTERED, client=client)
            if time.monotonic() > end:
                return Happening(Event.GAVE_UP)
            time.sleep(RETRY_SECONDS)

    def _follow(self, link: ServerLink, *, failed: bool) -> None:
        """A server we were registered with was lost: its way to us may be, and there may be another."""
        moved = locate.elsewhere(self._settings, link.server, failed=failed)
        if moved is not None:
            self._journal.add(f"the server answers at {moved.url} on {moved.interface}")
            link.move(moved)

    def _listen(self, post: Post) -> None:
        link = self._link
        while link is not None:
            try:
                orders = link.next_orders()
            except Forgotten as error:
                post(Happening(Event.FORGOTTEN, text=error.what))
                return
            except FleetcastError as error:
                post(Happening(Event.LOST, text=error.what))
                return
            for order in orders:
                cast = order.kind is OrderKind.CAST
                post(Happening(Event.ORDER_CAST if cast else Event.ORDER_LEAVE, order=order))

    def _cast(self, order: Order | None, post: Post) -> None:
        link = self._link
        if order is None or link is None:
            return

        def show(now: CastNow) -> None:
            post(Happening(Event.PROGRESS, now=now))

        job = CastJob(
            order.cast,
            link.cast(order.cast),
            link.server.key,
            interface=lambda: link.server.interface or nics.address_towards(*link.address),
            disks=lambda: inventory.disks(self._settings, self._journal.add),
            named=bool(self._settings.targets),
            rules=self._settings.rules,
            update=order.update,
            show=show,
            planned=self._warn,
        )
        if self._end is not None:
            self._end.peers.close()
        self._end, self._writing = None, True
        try:
            self._end = job.run()
        except FleetcastError as error:
            text = f"{error.what} ({error.hint})" if error.hint else error.what
            post(Happening(Event.CAST_FAILED, text=text, error=error))
        else:
            post(Happening(Event.CAST_DONE, now=self._end.now))
        finally:
            self._writing = False

    def _warn(self, manifest: Manifest) -> None:
        """Say what this machine's firmware, or the system cast to it, will object to."""
        layouts = [disk.layout for disk in manifest.disks]
        firmware = efivars.firmware_facts() if self._settings.may_leave else None
        for text in objections(layouts, manifest.boot_entries, manifest.boot_loaders, firmware):
            self._journal.add(f"warning: {text}")

    def _tell(self, order: Order | None, post: Post) -> None:
        """Wait until the server has heard of the end and nobody needs our chunks any more; then leave,
        if the cast went well and says so.
        """
        if not self._reporter.delivered(TOLD_SECONDS):
            self._journal.add("the server could not be told yet")
        end, leaves = self._end, order is not None and leaving_kind(order) is not None
        if end is None:
            post(Happening(Event.TOLD_STAY))
            return
        if self._settings.may_leave:
            self._boot_afterwards(end)
        leaves = leaves and self._settings.may_leave
        end.peers.stay(STAY_SECONDS, lambda: self._journal.add("serves others that lack chunks"))
        if self._end is end:  # else another cast has begun meanwhile
            post(Happening(Event.TOLD if leaves else Event.TOLD_STAY))

    def _boot_afterwards(self, end: CastEnd) -> None:
        try:
            for line in boot_afterwards(end.manifest.boot_entries, end.targets):
                self._journal.add(line)
        except FleetcastError as error:
            self._journal.add(f"warning: {error.what}")

    def _leave(self, order: Order | None) -> None:
        self._reporter.delivered(LEAVE_SECONDS)
        kind = leaving_kind(order) if order is not None else None
        if kind is not None and self._settings.may_leave:
            power.leave(kind)

    def _send(self, report: Report) -> None:
        link = self._link
        if link is None or not link.client:
            raise Forgotten("not registered yet")
        link.report(report)

    def _inventory(self) -> Registration:
        """What the machine is; while its disk is being written the earlier answer stands."""
        if self._registration is None or not self._writing:
            disks = inventory.disks(self._settings, self._journal.add)
            self._registration = Registration(
                self._machine, self._nics(), disks, __version__, devices.devices()
            )
        return self._registration

    def _nics(self) -> tuple[Nic, ...]:
        names = self._settings.interfaces
        return nics.wired() if names is None else tuple(nics.nic(name) for name in names)

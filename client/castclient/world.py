"""The client's hands: each action of the table as a thread that answers with happenings."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from castcore import __version__
from castcore.bootsettings import Moment
from castcore.control import ClientState, Nic, Order, OrderKind, Registration, Report, Standing
from castcore.disk import DiskFacts, Rules, find_disk, is_selector, parse_rules
from castcore.disk.objections import objections
from castcore.edge import devices, dmi, efivars
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.cast.peers import STAY_SECONDS
from castcore.edge.disk import probe
from castcore.edge.disk.bootafter import boot_afterwards
from castcore.edge.net import nics
from castcore.errors import FleetcastError
from castcore.image import Manifest
from castcore.trust import SigningKey
from castcore.words import machine_words

from castclient import cards, inventory, keyboard, locate, machinelog, power
from castclient.bringup import BringUp
from castclient.capturejob import CaptureJob
from castclient.happening import Happening, Post, leaving_kind
from castclient.hooks import Hooks
from castclient.job import CastEnd, CastJob
from castclient.journal import Journal
from castclient.kernellog import kernel_log
from castclient.link import RETRY_SECONDS, Forgotten, NotAdmitted, Reporter, ServerLink
from castclient.model import CastNow
from castclient.ownbuild import own_build
from castclient.phases import Action, Event
from castclient.program import Facts
from castclient.settings import Settings

# Then the server may have come back under another address, and is looked for anew.
GIVE_UP_SECONDS = 30.0
# How long a finished client waits for its server before it restarts untold.
TOLD_SECONDS = 300.0
LEAVE_SECONDS = 3.0
# A clock further off than that makes times in logs, and dates of licences, wrong.
CLOCK_SLACK = 300
_ORDERED = {OrderKind.CAST: Event.ORDER_CAST, OrderKind.CAPTURE: Event.ORDER_CAPTURE}
# What the loop hears when an action has died of an error it did not foresee: it tries again.
_AFTER_DEATH = {
    Action.SEARCH: Event.GAVE_UP,
    Action.REGISTER: Event.GAVE_UP,
    Action.LISTEN: Event.LOST,
    Action.CAST: Event.CAST_FAILED,
    Action.CAPTURE: Event.CAST_FAILED,
    Action.TELL: Event.TOLD_STAY,
}


class RealWorld:
    """Implements :class:`castclient.program.World` on this machine."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        keyboards: tuple[str, ...],
        *,
        bringup: BringUp | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """``bringup`` is told by which interface the server was found, ``hooks`` run at their moments;
        None: a host that is not ours to configure.
        """
        self._settings, self._journal, self._keyboards = settings, journal, keyboards
        self._bringup, self._hooks = bringup, hooks
        self._link: ServerLink | None = None
        self._reporter = Reporter(self._send)
        self._machine = dmi.machine()
        self._registration: Registration | None = None
        self._end: CastEnd | None = None
        self._writing = self._was_ready = self._clock_told = False
        # In memory only, so that it is this boot's: it proves every request (castcore/proof.py).
        self._key = SigningKey.generate()
        self._chosen: tuple[DiskFacts, ...] = ()
        self.keys = ""
        self._reporter.start()

    def close(self) -> None:
        """Send nothing more; what still waits for the server ends with the process."""
        self._reporter.stop()

    def facts(self) -> Facts:
        """The machine as it is now."""
        known = self._registration
        return Facts(self._machine, self._nics(), known.disks if known is not None else (), self.keys)

    def targets(self) -> frozenset[str]:
        """Paths of the disks that are cast to, or that were named for it: nobody else's to mount."""
        named = set(self._named_paths())
        return frozenset(named.union(disk.path for disk in self._chosen))

    def log_archive(self) -> bytes:
        """All that this machine can tell, as a tar.gz without secrets."""
        lines, known = self._journal.lines(), self._registration
        return machinelog.log_archive(kernel_log(), lines, own_build(), known)

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
            Action.CAST: lambda: self._cast(order, post, again=happening.event is Event.AGAIN),
            Action.CAPTURE: lambda: self._capture(order, post),
            Action.TELL: lambda: self._tell(order, post),
            Action.LEAVE: lambda: self._leave(happening, order),
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
            self._settle(servers[0])
            self._link = ServerLink(servers[0], self._key)
        if self._link is not None:
            post(self._registered(self._link, post))

    def _registered(self, link: ServerLink, post: Post) -> Happening:
        end, failed, told = time.monotonic() + GIVE_UP_SECONDS, False, ""
        about = self._inventory()
        while True:
            if link.client:
                self._follow(link, failed=failed)
            try:
                registered = link.register(about)
            except NotAdmitted as error:
                if told != error.what:
                    post(self._kept_out(error))
                told, failed = error.what, False
                if error.standing is not Standing.REFUSED:
                    end = time.monotonic() + GIVE_UP_SECONDS  # it answers, and may let us in at any time
            except FleetcastError as error:
                self._journal.add(error.what)
                failed, about = True, self._inventory()
            else:
                self._reporter.again()
                self._compare_clock(registered.clock)
                self._ready()
                return Happening(Event.REGISTERED, client=registered.client)
            if time.monotonic() > end:
                return Happening(Event.GAVE_UP)
            time.sleep(RETRY_SECONDS)

    def _kept_out(self, error: NotAdmitted) -> Happening:
        text = f"{error.what} ({error.hint})" if error.hint else error.what
        words = machine_words(self._key.public)
        return Happening(Event.KEPT_OUT, text=text, standing=error.standing, words=words)

    def _compare_clock(self, theirs: int) -> None:
        ahead = int(time.time()) - theirs
        if theirs and abs(ahead) > CLOCK_SLACK and not self._clock_told:
            self._clock_told = True
            way = "ahead of" if ahead > 0 else "behind"
            self._journal.add(
                f"warning: the clock of this machine is {abs(ahead) / 3600:.1f} h {way} the server's"
            )

    def _follow(self, link: ServerLink, *, failed: bool) -> None:
        """A server we were registered with was lost: its way to us may be, and there may be another."""
        moved = locate.elsewhere(self._settings, link.server, failed=failed)
        if moved is not None:
            self._journal.add(f"the server answers at {moved.url} on {moved.interface}")
            self._settle(moved)
            link.move(moved)

    def _settle(self, server: FoundServer) -> None:
        if self._bringup is not None:
            self._bringup.settle(server.interface, server.url)

    def _ready(self) -> None:
        """The first time that a server has us; no hook holds up its orders."""
        hooks = None if self._was_ready else self._hooks
        self._was_ready = True
        if hooks is not None:
            threading.Thread(target=hooks.run, args=(Moment.READY,), name="hooks", daemon=True).start()

    def _run_hooks(self, moment: Moment) -> None:
        if self._hooks is not None:
            self._hooks.run(moment)

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
                post(Happening(_ORDERED.get(order.kind, Event.ORDER_LEAVE), order=order))

    def _cast(self, order: Order | None, post: Post, *, again: bool) -> None:
        """Take part; ``again``: another try, by itself, to write the same disks."""
        link = self._link
        if order is None or link is None:
            return

        def show(now: CastNow) -> None:
            post(Happening(Event.PROGRESS, now=now))

        self._forget_end()
        self._writing = True
        self._chosen = self._chosen if again else ()
        try:
            job = CastJob(
                order.cast,
                link.cast(order.cast),
                link.server.key,
                interface=lambda: link.server.interface or nics.address_towards(*link.address),
                disks=lambda: inventory.disks(self._settings, self._journal.add),
                named=bool(self._settings.targets),
                rules=self._rules(order),
                update=order.update,
                show=show,
                planned=self._warn,
                chosen=self._choose,
                before=self._chosen,
            )
            self._end = job.run()
        except FleetcastError as error:
            post(_failed(error))
        else:
            post(Happening(Event.CAST_DONE, now=self._end.now))
        finally:
            self._writing = False

    def _rules(self, order: Order) -> Rules:
        return parse_rules(order.rules, "the cast's rules") if order.rules else self._settings.rules

    def _capture(self, order: Order | None, post: Post) -> None:
        link = self._link
        if order is None or link is None:
            return
        job = CaptureJob(
            order,
            link.https,
            disks=lambda: inventory.disks(self._settings, self._journal.add),
            show=lambda now: post(Happening(Event.PROGRESS, now=now)),
        )
        self._forget_end()
        try:
            post(Happening(Event.CAST_DONE, now=job.run()))
        except FleetcastError as error:
            post(_failed(error))

    def _forget_end(self) -> None:
        """Other work begins: nothing is served from the disk of the last cast any more."""
        if self._end is not None:
            self._end.peers.close()
        self._end = None

    def _choose(self, disks: tuple[DiskFacts, ...]) -> None:
        self._chosen = disks

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
        end = self._end  # of this try: a later one has its own
        if not self._reporter.delivered(TOLD_SECONDS):
            self._journal.add("the server could not be told yet")
        self._hand_in_log(ClientState.FAILED if end is None else ClientState.DONE)
        leaves = order is not None and leaving_kind(order) is not None
        self._run_hooks(Moment.FAILED if end is None else Moment.DONE)
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

    def _hand_in_log(self, reason: ClientState) -> None:
        """Give the server all we know; it is no harm when that fails."""
        link = self._link
        if link is None or not link.client or not self._settings.may_leave:
            return  # on a host that is not ours the log is not ours either
        log = machinelog.machine_log(reason, kernel_log(), self._journal.lines(), own_build())
        try:
            link.send_log(log)
        except FleetcastError as error:
            self._journal.add(f"the log could not be handed in: {error.what}")
        else:
            self._journal.add("the server has the log")

    def _named_paths(self) -> list[str]:
        """The disks named on the kernel command line, as far as they are there."""
        paths = []
        for name in self._settings.targets:
            with contextlib.suppress(FleetcastError):
                known = probe.identities()
                paths.append(find_disk(name, known).path if is_selector(name) else name)
        return paths

    def _leave(self, happening: Happening, order: Order | None) -> None:
        self._reporter.delivered(LEAVE_SECONDS)
        kind = leaving_kind(order) if order is not None else None
        if happening.event in (Event.ASKED_OFF, Event.SURE_OFF):
            kind = OrderKind.POWER_OFF
        if kind is not None and self._settings.may_leave:
            power.leave(kind)

    def _send(self, report: Report) -> float:
        link = self._link
        if link is None or not link.client:
            raise Forgotten("not registered yet")
        return link.report(report)

    def _inventory(self) -> Registration:
        """What the machine is; while its disk is being written the earlier answer stands."""
        if self._registration is None or not self._writing:
            disks = inventory.disks(self._settings, self._journal.add)
            self._registration = Registration(
                self._machine, self._nics(), disks, __version__, devices.devices()
            )
        return self._registration

    def _nics(self) -> tuple[Nic, ...]:
        return cards.used(self._settings)


def _failed(error: FleetcastError) -> Happening:
    text = f"{error.what} ({error.hint})" if error.hint else error.what
    return Happening(Event.CAST_FAILED, text=text, error=error)

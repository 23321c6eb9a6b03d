"""One running server: its state directory, TLS listener, boot services, discovery and clockwork."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path

from castcore.edge.cast.responder import DiscoveryResponder, OfferFields
from castcore.edge.disk.named import rules_of
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.interface import Interface
from castcore.edge.net.nics import IF_INET6, nic
from castcore.edge.net.portholder import holder
from castcore.errors import FleetcastError, NetworkFailed, PortTaken
from castcore.statement import ServerStatement, encode_statement

from castserver.accounts.auth import Auth
from castserver.accounts.operatortoken import load_or_make_token
from castserver.api.app import make_app
from castserver.audit.auditlog import AuditLog
from castserver.audit.happenings import Happenings
from castserver.captures.captures import Captures
from castserver.casts.casts import Casts
from castserver.casts.legrun import Leg
from castserver.database.database import Database
from castserver.database.statedatabase import open_database
from castserver.history.history import History
from castserver.images.imagekeeping import ImageKeeper
from castserver.images.library import Library
from castserver.images.shelves import is_writable
from castserver.images.uploads import Uploads
from castserver.licences.ledgerholder import MediaLedgers
from castserver.licences.licenceterms import LicenceEvent
from castserver.licences.licenceuses import LicenceUses
from castserver.licences.licensing import Licensing
from castserver.logs.machinelogs import MachineLogs
from castserver.machines.approvals import Approvals
from castserver.machines.clients import Clients
from castserver.media.media import Media
from castserver.media.mediaeyes import Eyes
from castserver.media.mediause import MediaUse
from castserver.netboot.bootimages import FOLDER, BootImages
from castserver.netboot.booting import Booting
from castserver.netboot.bootonce import BootOnce
from castserver.netboot.bootserving import BootServing
from castserver.netboot.bootstate import Listeners, Neighbour
from castserver.netboot.bootwatch import BootWatch
from castserver.netboot.leasebook import LeaseBook
from castserver.netboot.neighbours import Neighbours
from castserver.parts import ServerParts
from castserver.seldom import Seldom
from castserver.servetold import told
from castserver.settings import ServerSettings
from castserver.state.statelock import hold_state
from castserver.webserver import web_server

TICK_SECONDS = 1.0
CUT_SECONDS = 86_400.0
# Between two words of one failure that comes at every tick.
SELDOM_SECONDS = 600.0
START_SECONDS = 20.0
# Long polls end by themselves when we stop; this is for a browser that keeps its stream open.
STOP_SECONDS = 3
# A client that works on one order for long keeps its connection through it.
KEEP_ALIVE_SECONDS = 75
MOST_WAITING = 2048

log = logging.getLogger("fleetcast")


# Makes the legs of casts, once the server's identity is known.
MakeLegs = Callable[[ServerIdentity], Sequence[Leg]]


class Server:
    """Everything of one server, started and stopped as a whole."""

    def __init__(
        self,
        settings: ServerSettings,
        legs: MakeLegs,
        listeners: Listeners | None = None,
    ) -> None:
        self.settings = settings
        self.identity: ServerIdentity
        # Of the first user, made at the first start; None afterwards.
        self.first_password: str | None = None
        self.parts: ServerParts
        self._make_legs, self._listeners = legs, listeners or Listeners()
        # Where the database is, for people.
        self.database = ""
        self._looking: Neighbours | None = None
        self._happenings = Happenings(int(time.time()))
        self._undo = ExitStack()
        self._web: threading.Thread

    def start(self) -> None:
        """Start all of it; nothing is left behind when a part cannot start.

        Raises NotFound, PortTaken, InUse (the state directory, the database), DiskFailed, Untrusted,
        Refused, DatabaseAway.
        """
        with ExitStack() as undo:
            media = Media(Eyes(self.settings.media))
            library = Library(self.settings.images, lambda: media.now.medium, self.settings.more_images)
            undo.callback(os.close, hold_state(self.settings.state))
            listeners = [undo.enter_context(own) for own in _listen(self.settings.https_port)]
            self.identity = ServerIdentity.load_or_make(self.settings.state)
            database = self._open_database()
            undo.callback(database.close)
            undo.callback(media.stop)
            media.find()
            self.parts = self._assemble(database, library, media)
            undo.callback(self.parts.stop)
            self._start_web(listeners, undo)
            self._start_clockwork(undo)
            self._start_services(undo)
            # Last: a start that fails tells nobody the password.
            self.first_password = self.parts.auth.users.first()
            self._happenings.begin(self.parts)
            undo.callback(self._happenings.end, self.parts)
            self._undo = undo.pop_all()

    def written(self) -> list[int]:
        """Times in what was written before: of the audit log, of machines (Unix seconds)."""
        seen = [client.last_seen for client in self.parts.clients.all()]
        return [self.parts.audit.newest(), *seen]

    def wait(self) -> None:
        """Return when the web server has ended, which it only does when something broke."""
        while self._web.is_alive():
            self._web.join(0.5)

    def stop(self) -> None:
        """Stop all of it, in the opposite order."""
        self._undo.close()

    def _open_database(self) -> Database:
        settings = self.settings
        opened = open_database(settings.state, settings.database, settings.database_passfile)
        self.database = opened.name
        return opened

    def _assemble(self, database: Database, library: Library, media: Media) -> ServerParts:
        clients = Clients(database, server=self.identity.certificate_digest)
        # Before anybody is offered anything.
        approvals = Approvals(database, clients, approving=self.settings.approve_clients or None)
        legs, licensing = self._make_legs(self.identity), self._licensing(database, media)
        rules = rules_of(self.settings.rules, "--rules") if self.settings.rules else ()
        casts = Casts(database, clients, library, legs, licensing, rules)
        statement = ServerStatement(
            self.identity.key.public,
            self.identity.certificate_digest,
            self.settings.url,
            self.settings.name,
        )
        auth = Auth(
            load_or_make_token(self.settings.state), database, idle=self.settings.session_minutes * 60
        )
        uploads = Uploads(self._captured_to())
        uploads.adopt()
        fire, headless = clients.changed.fire, self.settings.headless
        return ServerParts(
            self.settings.name,
            encode_statement(statement, self.identity.key),
            auth,
            AuditLog(database),
            clients,
            casts,
            library,
            BootWatch(fire),
            Booting(database, casts, auth.sessions, fire, self._neighbours, headless=headless),
            LeaseBook(database, self._networks),
            BootOnce(database, self._boot_images(), clients, clients.changed.fire),
            MachineLogs(self.settings.state),
            Captures(database, clients, uploads),
            media,
            approvals,
            History(database),
            ImageKeeper(database, library, casts, fire),
            LicenceUses(database),
            told(self.settings, self.database),
        )

    def _captured_to(self) -> Path:
        """The first folder of images that can be written to."""
        folders = (self.settings.images, *self.settings.more_images)
        return next((one for one in folders if is_writable(one)), self.settings.images)

    def _licensing(self, database: Database, media: Media) -> Licensing:
        own, terms = self.identity.key.public.hex(), self.settings.licences
        terms = replace(terms, issuers=terms.issuers | {own})
        return Licensing(database, MediaLedgers(media), terms, self._note_licence)

    def _boot_images(self) -> BootImages:
        images = BootImages(self.settings.state / FOLDER)
        images.sweep()
        return images

    def _start_web(self, listeners: list[socket.socket], undo: ExitStack) -> None:
        app = make_app(self.settings.name, self.parts.casts)
        app.state.parts = self.parts
        app.openapi()  # before anybody waits for it
        web = web_server(
            app, self.identity, stop=STOP_SECONDS, waiting=MOST_WAITING, idle=KEEP_ALIVE_SECONDS
        )
        self._web = threading.Thread(target=web.run, args=(listeners,), name="web", daemon=True)
        self._web.start()

        def stop() -> None:
            self.parts.stopping.set()
            self.parts.wake()
            web.should_exit = True
            self._web.join()

        undo.callback(stop)
        end = time.monotonic() + START_SECONDS
        while not web.started:
            if not self._web.is_alive() or time.monotonic() > end:
                raise NetworkFailed(f"the web server on port {self.settings.https_port} did not start")
            time.sleep(0.02)

    def _start_clockwork(self, undo: ExitStack) -> None:
        parts = self.parts
        often = [parts.casts.tick, parts.note_rates, parts.booting.tick, parts.captures.uploads.tick]
        often += [partial(self._happenings.look, parts), parts.audit.catch_up]

        def run() -> None:
            seldom = Seldom(SELDOM_SECONDS)
            cut_due = time.monotonic()
            while not parts.stopping.wait(TICK_SECONDS):
                due = often
                if time.monotonic() >= cut_due:
                    cut_due, due = time.monotonic() + CUT_SECONDS, [*often, parts.audit.cut]
                tick_all(due, seldom)

        clockwork = threading.Thread(target=run, name="clockwork", daemon=True)
        clockwork.start()
        undo.callback(clockwork.join)
        undo.callback(self.parts.stopping.set)

    def _start_services(self, undo: ExitStack) -> None:
        settings = self.settings
        responder = DiscoveryResponder(self._offer, self.identity.key, settings.interfaces)
        responder.start()
        undo.callback(responder.stop)
        names = list(dict.fromkeys(own.name for own in settings.interfaces))
        self._looking = Neighbours(names, self.identity.key.public, self._note_neighbour)
        self._looking.start()
        undo.callback(self._looking.stop)
        boot = BootServing(settings, self.identity.key.public, self.parts, self._listeners)
        undo.callback(boot.stop)
        if settings.boot_tree is not None:
            boot.serve(settings.boot_tree)
        use = MediaUse(self.parts, boot, follow_tree=settings.boot_tree is None)
        self.parts.media.start(use, self._note_media)

    def _note_media(self) -> None:
        self.parts.clients.changed.fire()
        self._happenings.media(self.parts.media.now)
        self._listeners.media(self.parts.media.now)

    def _note_licence(self, event: LicenceEvent) -> None:
        self._happenings.licence(event)
        self._listeners.licence(event)

    def _note_neighbour(self, neighbour: Neighbour) -> None:
        self.parts.clients.changed.fire()
        self._listeners.neighbour(neighbour)

    def _neighbours(self) -> tuple[Neighbour, ...]:
        return self._looking.found() if self._looking is not None else ()

    def _networks(self) -> list[IPv4Interface]:
        names = {interface.name for interface in self.settings.interfaces}
        return [IPv4Interface(text) for name in sorted(names) for text in nic(name).addresses]

    def _offer(self, interface: Interface) -> OfferFields:
        casts = tuple(c.id for c in self.parts.casts.all() if not c.state.ended)
        settings = self.settings
        url = settings.url_on(interface)
        return OfferFields(url, self.identity.certificate_digest, settings.name, casts)


def tick_all(ticks: Iterable[Callable[[], object]], seldom: Seldom) -> None:
    """Call each of ``ticks``, whatever the others raise; what nobody expected is logged, but seldom."""
    for tick in ticks:
        try:
            tick()
        except FleetcastError as error:
            log.error("%s", error.what)
        except Exception as error:
            if seldom.due(repr(error)):
                log.exception("the clockwork stumbled")


def _listen(port: int) -> list[socket.socket]:
    """Listeners on all addresses, of IPv6 too where the kernel has it."""
    four = _listener(socket.AF_INET, "0.0.0.0", port)
    if not IF_INET6.exists():
        return [four]
    try:
        return [four, _listener(socket.AF_INET6, "::", port)]
    except BaseException:
        four.close()
        raise


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(MOST_WAITING)
    except OSError as error:
        listener.close()
        by = holder("tcp", port) or "another program"
        raise PortTaken(
            f"TCP port {port} is taken by {by}: {error.strerror}",
            hint="stop that program, or choose another port with --listen-https",
        ) from None
    return listener

"""The connection to one server: registering, waiting for orders, telling how it goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from castcore.control import (
    API,
    CONTROL,
    MachineLog,
    Order,
    Registered,
    Registration,
    Report,
    Standing,
)
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.net.pinned import PinnedHttps, Rejected, TokenRefused
from castcore.errors import BadPacket, FleetcastError, NetworkFailed, NotFound, Refused
from castcore.proof import Prover
from castcore.trust import SigningKey

# A server answers a long poll after this long at the latest; one that takes much longer is gone.
POLL_SECONDS = 20
POLL_GRACE = 10.0
RETRY_SECONDS = 2.0
REPORT_SECONDS = 1.0
# A client that says nothing for 35 seconds is gone; its long poll speaks for it besides.
LONGEST_PACE = 20.0
_REPORT_TIMEOUT = 10.0
_LOG_TIMEOUT = 20.0


class Forgotten(FleetcastError):
    """The server does not know this client (any more): it has to register again."""


class NotAdmitted(Refused):
    """The server does not let this machine in now: ``standing`` says how it takes it."""

    def __init__(self, what: str, standing: Standing, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.standing = standing


class ServerLink:
    """What passes between this client and ``server``. Each method may run in a thread of its own.

    ``key`` is the one this client made at its start: it proves every request with it.
    """

    def __init__(self, server: FoundServer, key: SigningKey) -> None:
        self.server = server
        self.client = ""
        self._key = key
        # Registering goes beside what is under way with the token that there was before.
        self._door = PinnedHttps(server.url, server.certificate_digest)
        self._https = PinnedHttps(server.url, server.certificate_digest)
        self._seen = 0

    def move(self, server: FoundServer) -> None:
        """The same server was found at another of its addresses; what is under way goes on there."""
        self._door.move(server.url)
        self._https.move(server.url)
        self.server = server

    def register(self, registration: Registration) -> Registered:
        """Make this machine known. Raises NetworkFailed, Untrusted, NotAdmitted: ask again later."""
        certificate = self.server.certificate_digest
        stamped = replace(
            registration, control=CONTROL, key=self._key.public.hex(), clock=int(time.time())
        )
        self._door.prover = Prover(self._key, certificate)
        try:
            answer = self._door.post_json(f"{API}/clients", stamped.to_json())
            registered = Registered.from_json(answer)
        except TokenRefused as error:
            raise NetworkFailed(error.what, hint=error.hint) from None
        except (Refused, Rejected) as error:
            raise NotAdmitted(error.what, Standing.REFUSED, hint=error.hint) from None
        except BadPacket as error:
            raise NetworkFailed(f"{self.server.url}: {error.what}") from None
        if registered.standing is not Standing.ADMITTED:
            raise NotAdmitted(registered.why, registered.standing)
        if not registered.nonce:
            raise NotAdmitted(
                f"the server at {self.server.url} is older than this client and knows no proofs",
                Standing.REFUSED,
                hint="update the server, or start the client that it boots itself",
            )
        if registered.client != self.client:
            self._seen = 0  # orders are numbered per client
        self.client = registered.client
        self._https.prover = Prover(self._key, certificate, registered.token, registered.nonce)
        return registered

    def next_orders(self) -> list[Order]:
        """Wait for orders; [] after POLL_SECONDS without one. Raises NetworkFailed, Forgotten."""
        path = f"{self._path()}/orders?after={self._seen}&wait={POLL_SECONDS}"
        try:
            answer = self._https.get_json(path, timeout=POLL_SECONDS + POLL_GRACE)
            orders = [Order.from_json(value) for value in answer["orders"]]
        except (NotFound, Refused) as error:
            raise Forgotten(error.what) from None
        except (BadPacket, TypeError, KeyError) as error:
            raise NetworkFailed(f"{self.server.url} gave no orders but nonsense: {error}") from None
        self._seen = max([self._seen, *(order.number for order in orders)])
        return orders

    def report(self, report: Report) -> float:
        """Tell the server how it goes; return in how many seconds it wants to hear more.

        Raises NetworkFailed, Forgotten.
        """
        path = f"{self._path()}/report"
        try:
            return _pace(self._https.post_json(path, report.to_json(), timeout=_REPORT_TIMEOUT))
        except (NotFound, Refused) as error:
            raise Forgotten(error.what) from None

    def send_log(self, log: MachineLog) -> None:
        """Hand in all that this run has said. Raises NetworkFailed, Forgotten."""
        try:
            self._https.post_json(f"{self._path()}/log", log.to_json(), timeout=_LOG_TIMEOUT)
        except (NotFound, Refused) as error:
            raise Forgotten(error.what) from None

    def cast(self, cast: str) -> HttpsCastControl:
        """The TLS side of the cast with id ``cast``."""
        return HttpsCastControl(self._https, cast)

    @property
    def https(self) -> PinnedHttps:
        """The connection itself, which proves what it asks by the registration."""
        return self._https

    @property
    def address(self) -> tuple[str, int]:
        """Host and TCP port of the server."""
        return self._https.host, self._https.port

    def _path(self) -> str:
        return f"{API}/clients/{quote(self.client, safe='')}"


def _pace(answer: Any) -> float:
    """What the ``answer`` to a report asks for; an older server says nothing of it."""
    wanted = answer.get("pace") if isinstance(answer, dict) else None
    if not isinstance(wanted, int | float):
        return REPORT_SECONDS
    return min(max(float(wanted), REPORT_SECONDS), LONGEST_PACE)


class Reporter:
    """Sends the latest report: at once when its state changes, else as often as the server wants it.

    ``send`` tells in how many seconds that is; once a second until it has.

    A report that cannot be delivered is kept (a newer one replaces it) and sent when the server is
    back; :meth:`delivered` says whether the latest has arrived.
    """

    def __init__(self, send: Callable[[Report], float]) -> None:
        self._send, self._pace = send, REPORT_SECONDS
        self._changed = threading.Condition()
        self._report: Report | None = None
        self._urgent = False
        self._delivered: Report | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def tell(self, report: Report) -> None:
        """Make ``report`` the latest."""
        with self._changed:
            before = self._report
            self._report = report
            if before is None or (before.state, before.cast) != (report.state, report.cast):
                self._urgent = True
                self._changed.notify_all()

    def again(self) -> None:
        """Send the latest report once more: the server may have forgotten it."""
        with self._changed:
            self._delivered, self._urgent = None, True
            self._changed.notify_all()

    def delivered(self, timeout: float) -> bool:
        """Has the latest report arrived, within ``timeout`` seconds?"""
        with self._changed:
            return self._changed.wait_for(lambda: self._report in (None, self._delivered), timeout)

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._urgent or self._ended, self._pace)
                if self._ended:
                    return
                self._urgent = False
                report = self._report
                if report is None or report is self._delivered:
                    continue
            try:
                self._pace = self._send(report)
            except FleetcastError:
                self._pace = REPORT_SECONDS
                continue  # the listener notices too, and says so
            with self._changed:
                self._delivered = report
                self._changed.notify_all()

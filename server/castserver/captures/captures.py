"""The captures: which machine's disks become which image of the library, and how far each is.

One is begun by the operator (an order to a connected client) or at the machine itself; either way its
image arrives as an upload (:mod:`castserver.images.uploads`). The lock is that of
:mod:`castserver.machines.clients`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from castcore.control import AfterCast, ClientState, Order, OrderKind, Report
from castcore.errors import FleetcastError, InUse, NotFound, Refused
from castcore.image import Manifest
from castcore.upload import NewUpload

from castserver.captures.capturemodel import (
    Capture,
    CaptureRequest,
    CaptureState,
    capture_from_row,
    capture_row,
    own_to_forget,
    sources,
)
from castserver.casts import policy
from castserver.database.database import Database
from castserver.database.tables import CaptureRow
from castserver.images.imagenames import full_name, machine_name
from castserver.images.upload import Upload
from castserver.images.uploads import Uploads
from castserver.images.uploadstore import Owner
from castserver.machines.clients import Client, Clients


class Captures:
    """Every capture that is or was ordered, and the last of those that machines begin themselves."""

    def __init__(self, database: Database, clients: Clients, uploads: Uploads) -> None:
        self._database, self._clients = database, clients
        self.uploads = uploads
        self._lock = clients.lock
        self._captures = {row.id: capture_from_row(row) for row in database.all(CaptureRow)}
        for capture in self._captures.values():
            if not capture.state.ended:
                clients.get(capture.client).capture = capture.id

    def all(self) -> list[Capture]:
        """Every capture, the newest first."""
        with self._lock:
            return sorted(self._captures.values(), key=lambda c: (c.created, c.id), reverse=True)

    def get(self, name: str) -> Capture:
        """The capture with id ``name``. Raises NotFound."""
        found = self._captures.get(name)
        if found is None:
            raise NotFound(
                f"there is no capture {name[:40]!r}", hint="`fleetcast captures list` shows all"
            )
        return found

    def create(self, client: Client, request: CaptureRequest, *, busy: str = "") -> Capture:
        """Order ``client`` to capture; ``busy`` is the cast it takes part in.

        Raises Refused (no client is connected, a name or disk that cannot be), InUse (it is at work, or
        others borrow from the image to be replaced).
        """
        with self._lock:
            self._require_idle(client, busy)
            disks = sources(client.registration.disks, request.disks)
            image = full_name(request.image, client)
            self.uploads.require_free(image, machine_name(client), again=request.replace)
            capture = Capture(
                self._new_id(),
                client.id,
                image,
                tuple(disk.stable_id for disk in disks),
                int(time.time()),
                full_sectors=request.full_sectors,
                rescue=request.rescue,
                replace=request.replace,
                partitions=request.partitions,
                made_by=request.by,
            )
            self._save(capture)
            self._order(client, capture)
        return capture

    def cancel(self, capture: Capture) -> None:
        """End it; its machine hears of that when it sends the next chunks. Raises Refused."""
        with self._lock:
            if capture.state.ended:
                raise Refused(f"capture {capture.id} has ended already: {capture.state}")
            self._end(capture, CaptureState.CANCELLED, "cancelled by the operator")
        self.uploads.cancel(capture.owner, f"capture {capture.id} was cancelled by the operator")

    def begin(self, client: Client, new: NewUpload) -> Upload:
        """``client`` begins to upload, as ordered or of itself. Raises as `Uploads.open`."""
        with self._lock:
            capture = self._asked_for(client, new)
        done = self.uploads.finished(capture.owner, capture.root) if capture.root else None
        if done is not None:  # the server was killed before it could say so
            done.capture = capture.id
            return done
        _require_going(capture)
        upload = self.uploads.open(capture.owner, machine_name(client), new.plan, again=capture.replace)
        upload.capture = capture.id
        upload.ready = lambda manifest: self._ready(capture, manifest)
        with self._lock:
            if not capture.state.ended:
                capture.state, capture.message = CaptureState.CAPTURING, ""
                self._save(capture)
                self._forget(own_to_forget(self._captures.values(), client.id))
                return upload
        self.uploads.cancel(capture.owner, f"capture {capture.id} has ended: {capture.message}")
        return upload

    def _ready(self, capture: Capture, manifest: Manifest) -> None:
        """Its image is about to get its name: remember which it is. Raises Refused: it has ended."""
        with self._lock:
            _require_going(capture)
            capture.root = manifest.index_digest.hex()
            self._save(capture)

    def arrived(self, upload: Upload) -> None:
        """The image of ``upload`` is whole."""
        with self._lock:
            capture = self._captures.get(upload.capture)
            done = upload.committed
            if capture is not None and done is not None and capture.state is not CaptureState.DONE:
                capture.root, capture.stored = done.root, done.stored
                self._clients.get(capture.client).source = True
                self._end(capture, CaptureState.DONE, "")

    def abandoned(self, upload: Upload, why: FleetcastError) -> None:
        """``upload`` came to nothing, as its machine says; of what it may have failed here before."""
        upload.abandon(why)
        failed = upload.end if isinstance(upload.end, FleetcastError) else why
        with self._lock:
            capture = self._captures.get(upload.capture)
            if capture is not None and not capture.state.ended and not capture.ordered:
                self._end(capture, CaptureState.FAILED, failed.what)

    def hear(self, client: Client, report: Report) -> None:
        """Take in a report about a capture."""
        with self._lock:
            capture = self._captures.get(report.cast)
            if capture is None or capture.client != client.id:
                return
            capture.report = report
            if capture.state.ended:
                return
            if report.state is ClientState.FAILED:
                self._end(capture, CaptureState.FAILED, report.message)
            elif report.state is ClientState.CAPTURING and capture.state is CaptureState.ORDERED:
                capture.state = CaptureState.CAPTURING
                self._save(capture)
        if capture.state is CaptureState.FAILED:
            self.uploads.cancel(capture.owner, capture.message)

    def offer(self, client: Client) -> None:
        """``client`` has just registered: what it was ordered to capture it is ordered again."""
        with self._lock:
            capture = self._captures.get(client.capture)
            if capture is not None and not capture.state.ended and capture.ordered:
                self._order(client, capture)

    def _require_idle(self, client: Client, busy: str) -> None:
        if not client.online(self._clients.clock()):
            raise Refused(f"no client is running on machine {client.id} now", hint="boot it first")
        if client.capture:
            raise InUse(f"machine {client.id} is being captured already: {client.capture}")
        if busy or not policy.idle(client.report, stays=client.stays):
            raise InUse(
                f"machine {client.id} takes part in a cast", hint="wait for its end, or cancel it"
            )

    def _asked_for(self, client: Client, new: NewUpload) -> Capture:
        """The capture that ``new`` belongs to: the one ordered, one begun before, or a new one."""
        if new.order:
            capture = self._captures.get(new.order)
            if capture is None or capture.client != client.id:
                raise Refused(f"machine {client.id} was not ordered to capture {new.order[:40]!r}")
            if capture.state is not CaptureState.DONE:
                _require_going(capture)
            return capture
        image = full_name(new.image, client)
        for known in self._captures.values():
            if known.owner == Owner(client.id, image) and not known.state.ended and not known.ordered:
                known.replace = new.replace
                return known
        now = int(time.time())
        return Capture(self._new_id(), client.id, image, (), now, ordered=False, replace=new.replace)

    def _order(self, client: Client, capture: Capture) -> None:
        client.capture = capture.id
        order = Order(
            0,
            OrderKind.CAPTURE,
            cast=capture.id,
            after=AfterCast.STAY,
            image=capture.image,
            disks=capture.disks,
            full_sectors=capture.full_sectors,
            rescue=capture.rescue,
            partitions=capture.partitions,
        )
        self._clients.order(client, order)

    def _end(self, capture: Capture, state: CaptureState, message: str) -> None:
        capture.state, capture.message, capture.ended = state, message, int(time.time())
        capture.root = capture.root if state is CaptureState.DONE else ""
        client = self._clients.get(capture.client)
        if client.capture == capture.id:
            client.capture = ""
        self._save(capture)

    def _forget(self, captures: Sequence[Capture]) -> None:
        for capture in captures:
            del self._captures[capture.id]
            client = self._clients.get(capture.client)
            if client.capture == capture.id:
                client.capture = ""
        self._database.save(gone=[capture_row(capture) for capture in captures])

    def _new_id(self) -> str:
        while (name := f"k{secrets.token_hex(4)}") in self._captures:
            pass
        return name

    def _save(self, capture: Capture) -> None:
        self._captures[capture.id] = capture
        self._database.save(capture_row(capture))
        self._clients.changed.fire()


def _require_going(capture: Capture) -> None:
    """Return while ``capture`` has not ended. Raises Refused."""
    if capture.state.ended:
        raise Refused(f"capture {capture.id} has ended: {capture.message or capture.state}")

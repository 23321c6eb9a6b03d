"""A server without disks, networks and time of its own: real parts over fakes, for fast tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Interface, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from castcore.control import CONTROL, Device, Machine, Nic, Registration
from castcore.disk import DiskFacts
from castcore.edge.image.store import StoredImage, image_name
from castcore.errors import NotFound
from castcore.proof import NONCE_HEADER, PROOF_HEADER, Prover
from castcore.trust import SigningKey
from castcore.units import GIB
from castserver.accounts.auth import Auth
from castserver.accounts.roles import Role
from castserver.accounts.sessions import COOKIE
from castserver.audit.auditlog import AuditLog
from castserver.captures.captures import Captures
from castserver.casts.casts import Casts
from castserver.casts.legrun import CastOptions, Leg, OpenImage
from castserver.casts.wayin import Network
from castserver.database.database import Database
from castserver.history.history import History
from castserver.images.imagekeeping import ImageKeeper
from castserver.images.library import Library, LibraryImage
from castserver.images.patience import Patience
from castserver.images.shelves import LIBRARY, Shelf, Shelved
from castserver.images.uploads import Uploads
from castserver.licences.ledgerholder import LedgerHolder
from castserver.licences.licenceterms import LicenceTerms
from castserver.licences.licenceuses import LicenceUses
from castserver.licences.licensing import Licensing
from castserver.logs.machinelogs import MachineLogs
from castserver.machines.approvals import Approvals
from castserver.machines.clients import Clients
from castserver.media.media import Media
from castserver.media.mediaeyes import Seen
from castserver.netboot.bootimages import BootImages
from castserver.netboot.booting import Booting
from castserver.netboot.bootonce import BootOnce
from castserver.netboot.bootwatch import BootWatch
from castserver.netboot.leasebook import LeaseBook
from castserver.parts import ServerParts
from castserver.servetold import Subject, Told

from tests.support import databases
from tests.support.fakesender import FakeSender
from tests.support.labhttp import LabHttp, current_app

ROOT = "ab" * 32
CLIENTS = "/api/v1/clients"
TOKEN = "operator-token-of-the-tests"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
CERTIFICATE = bytes(range(32))
CHUNKS = [b"first", b"", b"third chunk"]
TOLD = (Told(Subject.NAME, "testlab", "--name"), Told(Subject.MEDIA, "", "--media"))
NETWORK = Network("eth1", "10.0.1.1", ip_network("10.0.1.0/24"))


class FakeImage(LibraryImage):
    """An open image that holds ``CHUNKS``."""

    def __init__(self, name: str, root: str, medium: str = "") -> None:
        self.name, self.root, self.medium = name, root, medium
        self.chunk_count = len(CHUNKS)
        self.manifest_bytes, self.index_bytes = b"manifest of " + name.encode(), b"index"
        self.closed = False

    def read_stored(self, chunk: int) -> bytes:
        return CHUNKS[chunk]

    def close(self) -> None:
        self.closed = True


class FakeLibrary(Library):
    """A library whose images are a dictionary: name to root."""

    def __init__(self, images: dict[str, str]) -> None:
        self.images, self.directory = images, Path("/nonexistent")
        self.medium = ""
        self.opened: list[FakeImage] = []

    @property
    def own(self) -> Shelf:
        return Shelf(LIBRARY, self.directory, Patience(str(self.directory)))

    def list(self) -> tuple[StoredImage, ...]:
        return tuple(
            StoredImage(Path(f"/images/{n}.fcast"), None, "a test's image") for n in self.images
        )

    def all(self) -> tuple[Shelved, ...]:
        return tuple(Shelved(image, LIBRARY, image_name(image.path)) for image in self.list())

    def mark(self) -> tuple[object, ...]:
        return tuple(self.images)

    def open(self, name: str, root: str = "") -> LibraryImage:  # noqa: ARG002
        if name not in self.images:
            raise NotFound(f"there is no image {name!r}")
        self.opened.append(FakeImage(name, self.images[name], self.medium))
        return self.opened[-1]


class NoEyes:
    """See no medium."""

    def look(self) -> tuple[Seen, ...]:
        return ()

    def wait(self) -> set[str]:
        return set()

    def close(self) -> None:
        pass


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ServerLab:
    """One server's parts; ``restart`` makes them anew over the same database.

    A test may say by ``lost`` why an interface of the server is lost.
    """

    def __init__(
        self,
        database: Database | None = None,
        networks: Sequence[Network] = (NETWORK,),
        boot_images: Path = Path("/nonexistent"),
        store: Path = Path("/nonexistent"),
        ledgers: LedgerHolder | None = None,
        terms: LicenceTerms | None = None,
    ) -> None:
        self.boot_images, self.store = boot_images, store
        self.ledgers, self.terms = ledgers, terms
        self._medium = ledgers.places()[0].key if ledgers is not None else ""
        self._home = TemporaryDirectory(prefix="fleetcast-test-")
        self.logs = MachineLogs(Path(self._home.name))
        self.networks, self.lost = tuple(networks), dict[str, str]()
        self.ours = [IPv4Interface("10.0.1.1/24"), IPv4Interface("169.254.7.7/16")]
        self.database = database or databases.fresh()
        self.clock = FakeClock()
        self.library = FakeLibrary({"lab": ROOT, "office": "cd" * 32})
        self.library.medium = self._medium
        self.senders: list[FakeSender] = []
        self.capacity = 100e6
        self.provers: dict[str, Prover] = {}
        self._assemble()

    def restart(self) -> None:
        self.senders.clear()
        self.uploads.close()
        self._assemble()

    def _assemble(self) -> None:
        self.clients = Clients(self.database, self.clock, CERTIFICATE)
        self.approvals = Approvals(self.database, self.clients)
        legs = [
            Leg(
                network,
                partial(self._sender, leg),
                partial(self._lost, network.interface),
                lambda: self.capacity,
            )
            for leg, network in enumerate(self.networks)
        ]
        licensing = Licensing(self.database, self.ledgers, self.terms)
        self.casts = Casts(self.database, self.clients, self.library, legs, licensing)
        self.uploads = Uploads(self.store, self.clock)
        if self.store.is_dir():
            self.uploads.adopt()
        self.media = Media(NoEyes())
        self.boots = BootWatch(self.clients.changed.fire)
        self.leases = LeaseBook(self.database, lambda: self.ours)
        auth = Auth(TOKEN, self.database, self.clock)
        self.booting = Booting(self.database, self.casts, auth.sessions, self.clients.changed.fire)
        self.once = BootOnce(
            self.database, BootImages(self.boot_images), self.clients, self.clients.changed.fire
        )
        self.parts = ServerParts(
            "testlab",
            b"{}",
            auth,
            AuditLog(self.database),
            self.clients,
            self.casts,
            self.library,
            self.boots,
            self.booting,
            self.leases,
            self.once,
            self.logs,
            Captures(self.database, self.clients, self.uploads),
            self.media,
            self.approvals,
            History(self.database),
            ImageKeeper(self.database, self.library, self.casts, self.clients.changed.fire),
            LicenceUses(self.database),
            TOLD,
        )
        self.web_app = current_app(self.parts)
        self.use(self.web_app)

    def use(self, app: Any) -> None:
        """From now on requests go to ``app``, which passes them to `web_app`."""
        self.http = LabHttp(app, self.provers)

    def _lost(self, interface: str) -> str:
        return self.lost.get(interface, "")

    def _sender(self, leg: int, image: OpenImage, slot: int, options: CastOptions) -> FakeSender:
        self.senders.append(FakeSender(image, slot, len(self.senders), options, leg=leg))
        return self.senders[-1]

    def operator(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the operator, which must succeed."""
        answer = self.http.request(method, f"/api/v1{path}", json=body, headers=OPERATOR)
        assert answer.is_success, answer.text
        return answer.json()

    def log_in(self, role: Role = Role.OPERATOR) -> str:
        """Let ``http`` carry a session of a user of this role; return its secret."""
        session = self.parts.auth.sessions.open(role.value, role)
        self.http.cookies.set(COOKIE, session, domain="testserver.local", path="/")
        return session


class FakeClient:
    """A machine that talks to a :class:`ServerLab` as the real client does, over HTTP."""

    def __init__(self, lab: ServerLab, number: int, **machine: Any) -> None:
        self.lab, self.seen = lab, 0
        # The same for the same machine: it registers anew in the same run of its client.
        self.key = SigningKey(number.to_bytes(32))
        self.registration = registration(number, key=self.key.public.hex(), **machine)
        self.id = self.token = ""

    def start_anew(self) -> FakeClient:
        """The machine restarts, after it has said so or long enough after: with another key."""
        self.key = SigningKey.generate()
        self.registration = replace(self.registration, key=self.key.public.hex())
        return self

    def ask_in(self) -> Any:
        """Register as the real client does, signed with the nonce that the first answer has."""
        body = json.dumps(self.registration.to_json()).encode()
        headers = {"Content-Type": "application/json"}
        first = self.lab.http.post(CLIENTS, content=body, headers=headers)
        prover = Prover(self.key, CERTIFICATE, nonce=first.headers.get(NONCE_HEADER, ""))
        headers[PROOF_HEADER] = prover.header("POST", CLIENTS, body)
        return self.lab.http.post(CLIENTS, content=body, headers=headers)

    def register(self) -> FakeClient:
        answer = self.ask_in()
        assert answer.is_success, answer.text
        said = answer.json()
        self.id, self.token = said["client"], said["token"]
        if self.token:
            self.lab.provers[self.token] = Prover(self.key, CERTIFICATE, self.token, said["nonce"])
        return self

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def orders(self) -> list[dict[str, Any]]:
        path = f"/api/v1/clients/{self.id}/orders"
        answer = self.lab.http.get(path, params={"after": self.seen, "wait": 0}, headers=self.headers)
        assert answer.is_success, answer.text
        orders: list[dict[str, Any]] = answer.json()["orders"]
        self.seen = max([self.seen, *(o["number"] for o in orders)])
        return orders

    def report(self, state: str, **fields: Any) -> None:
        path = f"/api/v1/clients/{self.id}/report"
        answer = self.lab.http.post(path, json={"state": state, **fields}, headers=self.headers)
        assert answer.is_success, answer.text

    def get(self, path: str) -> Any:
        return self.lab.http.get(f"/api/v1{path}", headers=self.headers)

    def claim(self, cast: str) -> Any:
        """Ask for a licence, as a client does before it writes."""
        answer = self.lab.http.post(f"/api/v1/casts/{cast}/licence", headers=self.headers)
        assert answer.is_success, answer.text
        return answer.json()

    def join(self, cast: str) -> Any:
        """Read the descriptor, then join, as a client does."""
        assert self.get(f"/casts/{cast}/descriptor").status_code == 200
        return self.lab.http.post(f"/api/v1/casts/{cast}/join", json={}, headers=self.headers)


def registration(number: int, *, key: str = "", **machine: Any) -> Registration:
    """What machine ``number`` of a room of equal PCs sends, whose client made ``key`` (hex)."""
    known = {"uuid": f"8f7d7a3e-1c5b-4a2f-9d3c-{number:012x}", "vendor": "ACME", "product": "Desk 3"}
    return Registration(
        Machine(**{**known, "firmware": "uefi", **machine}),
        (Nic("eth0", f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}", link=True, speed=1000),),
        (DiskFacts("/dev/sda", f"wwn-{number}", 64 * GIB, 512, model="ACME SSD"),),
        "0.1.0",
        (Device("0000:00:1f.6", "pci:v00008086d000015BBsv*sd*bc02sc00i00", "e1000e"),),
        CONTROL,
        key,
    )

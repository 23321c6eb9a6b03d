"""What a cast would do, before it is made: which machines it erases, and whether licences suffice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from castcore.disk import Rules, parse_rules
from castcore.errors import FleetcastError
from castcore.image import parse_manifest

from castserver.castfit import Outlook, Verdict, outlook
from castserver.castmodel import Request
from castserver.casts import Casts
from castserver.clients import Client, Clients
from castserver.library import Library


@dataclass(frozen=True)
class Preview:
    """``machines`` by their id; ``left`` licences (None: none are needed), ``problem`` of them.

    Those who are not here now are among them only when they were named.
    """

    image: str
    root: str
    machines: Mapping[str, Outlook]
    left: int | None
    problem: str = ""

    @property
    def needed(self) -> int:
        """How many licences it takes when all who fit are there."""
        return sum(machine.fits for machine in self.machines.values()) if self.left is not None else 0

    @property
    def warning(self) -> str:
        """What the operator should know before he makes the cast, "" when all is well."""
        if self.problem:
            return self.problem
        if self.left is not None and self.left < self.needed:
            return f"the cast takes {self.needed} licences, {self.left} are left"
        return ""


def preview(
    request: Request, casts: Casts, clients: Clients, library: Library, own_rules: Rules
) -> Preview:
    """What the cast asked for would do now; ``own_rules`` are those of the server, () for none.

    Raises NotFound (image or machine), BadImage, DiskFailed, Refused (its rules).
    """
    rules = parse_rules(request.disk_rules, "the cast's rules") if request.disk_rules else own_rules
    image = library.open(request.image)
    try:
        manifest, medium, root = parse_manifest(image.manifest_bytes), image.medium, image.root
    finally:
        image.close()
    with clients.lock:
        machines = {
            client.id: outlook(
                manifest.name,
                manifest.disks,
                client.registration.disks if client.met else None,
                rules,
                hindrance=_hindrance(client, casts, clients),
            )
            for client in _meant(request, clients)
        }
    left, problem = None, ""
    try:
        left = casts.licensing.left(request.image.rpartition("/")[2], medium)
    except FleetcastError as error:
        left, problem = 0, error.what
    return Preview(request.image, root, machines, left, problem)


def _meant(request: Request, clients: Clients) -> Iterator[Client]:
    """The machines that were named, or those that are here."""
    if request.rules.targets is not None:
        yield from (clients.get(name) for name in sorted(request.rules.targets))
    else:
        now = clients.clock()
        yield from (client for client in clients.all() if client.online(now))


def _hindrance(client: Client, casts: Casts, clients: Clients) -> Outlook:
    if not client.online(clients.clock()):
        return Outlook(Verdict.ABSENT, reason="no client is running on it now")
    why = casts.unready(client)
    return Outlook(Verdict.BUSY, reason=why) if why else Outlook(Verdict.ERASED)

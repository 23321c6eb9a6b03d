"""What a cast would do, before it is made: which machines it erases, and whether licences suffice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from castcore.disk import Rules, parse_rules
from castcore.image import parse_manifest

from castserver.casts.castfit import Outlook, Verdict, outlook
from castserver.casts.castmodel import Request
from castserver.casts.casts import Casts
from castserver.images.library import Library
from castserver.licences.licenceterms import LicencesLeft
from castserver.machines.clients import Client, Clients


@dataclass(frozen=True)
class Preview:
    """``machines`` by their id; ``licences`` that are left for the image.

    Those who are not here now are among them only when they were named. ``count`` is the number of
    machines that it starts with, 0: it is not bound to a number.
    """

    image: str
    root: str
    machines: Mapping[str, Outlook]
    licences: LicencesLeft
    count: int = 0

    @property
    def needed(self) -> int:
        """How many licences it takes when all who fit are there, and as many as it starts with."""
        fitting = sum(machine.fits for machine in self.machines.values())
        return max(fitting, self.count) if self.licences.count is not None else 0

    @property
    def warning(self) -> str:
        """What the operator should know before he makes the cast, "" when all is well."""
        if self.licences.problem:
            return self.licences.problem
        if self.licences.short(self.needed):
            return f"the cast takes {self.needed} licences, {self.licences.count} are left"
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
    left = casts.licensing.left(request.image.rpartition("/")[2], medium)
    return Preview(request.image, root, machines, left, request.rules.start_clients or 0)


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

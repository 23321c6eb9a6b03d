"""What a server was told at its start, for people to see: a value, and the option that says another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from castserver.settings import ServerSettings
from castserver.wording import megabytes

ON, OFF, GIVEN = "on", "off", "given"


class Subject(StrEnum):
    """What a setting is about, for people."""

    NAME = "name of the server"
    INTERFACES = "interfaces"
    HTTPS = "console and API"
    HTTP = "boot files"
    SESSION = "session ends without use after"
    WITHOUT = "casts without a licence file"
    ISSUERS = "licence issuers beside this server"
    IMAGES = "library of images"
    FOLDERS = "further folders of images"
    STATE = "state directory"
    DATABASE = "database"
    PASSFILE = "password file of the database"
    TREE = "boot tree"
    MEDIA = "watched for deploy media"
    REPLACE = "our iPXE in place of a network card's own"
    CMDLINE = "more kernel arguments"
    RULES = "rules for disks"
    RATE = "all casts together at most, on each interface"
    POLITE = "casts take half of the link and make way"
    JUMBO = "packets of 8,968 bytes"
    TTL = "routers that multicast crosses, plus 1"
    QUERIER = "asks who listens while nobody else does"


@dataclass(frozen=True, slots=True)
class Told:
    """``name`` has this ``value``; ``option`` of ``fleetcast serve`` says another at its next start."""

    name: Subject
    value: str
    option: str


def told(settings: ServerSettings, database: str) -> tuple[Told, ...]:
    """Everything worth knowing of ``settings``, and where the ``database`` is."""
    return (*_serving(settings), *_kept(settings, database), *_booting(settings), *_casting(settings))


def _serving(settings: ServerSettings) -> Iterator[Told]:
    where = ", ".join(f"{own.name} ({own.host})" for own in settings.interfaces)
    issuers = ", ".join(sorted(key[:16] for key in settings.licences.issuers))
    yield Told(Subject.NAME, settings.name, "--name")
    yield Told(Subject.INTERFACES, where, "--interface")
    yield Told(Subject.HTTPS, f"TCP {settings.https_port}", "--listen-https")
    yield Told(Subject.HTTP, f"TCP {settings.http_port}", "--http-port")
    yield Told(Subject.SESSION, f"{settings.session_minutes} min", "--session-minutes")
    yield Told(Subject.WITHOUT, settings.licences.without.value, "--without-licence")
    yield Told(Subject.ISSUERS, issuers, "--licence-issuer")


def _kept(settings: ServerSettings, database: str) -> Iterator[Told]:
    passfile = str(settings.database_passfile or "")
    yield Told(Subject.IMAGES, str(settings.images), "--images")
    yield Told(Subject.FOLDERS, ", ".join(map(str, settings.more_images)), "--images")
    yield Told(Subject.MEDIA, ", ".join(map(str, settings.media)), "--media")
    yield Told(Subject.STATE, str(settings.state), "--state")
    yield Told(Subject.DATABASE, database, "--database")
    yield Told(Subject.PASSFILE, passfile, "--database-passfile")


def _booting(settings: ServerSettings) -> Iterator[Told]:
    tree = str(settings.boot_tree) if settings.boot_tree else "that of the deploy medium"
    yield Told(Subject.TREE, tree, "--boot-tree")
    yield Told(Subject.REPLACE, _switch(on=settings.replace_ipxe), "--replace-ipxe")
    yield Told(Subject.CMDLINE, settings.extra_cmdline, "--extra-cmdline")
    yield Told(Subject.RULES, GIVEN if settings.rules else "", "--rules")


def _casting(settings: ServerSettings) -> Iterator[Told]:
    use = settings.network
    yield Told(Subject.RATE, f"{megabytes(use.rate)} MB/s" if use.rate else "", "--rate")
    yield Told(Subject.POLITE, _switch(on=use.polite), "--polite")
    yield Told(Subject.JUMBO, _switch(on=use.jumbo), "--jumbo")
    yield Told(Subject.TTL, str(use.ttl), "--ttl")
    yield Told(Subject.QUERIER, _switch(on=use.querier), "--querier")


def _switch(*, on: bool) -> str:
    return ON if on else OFF

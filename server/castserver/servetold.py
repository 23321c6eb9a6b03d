"""What a server was told at its start, for people to see: a value, and the option that says another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castserver.settings import ServerSettings


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
    STATE = "state directory"
    TREE = "boot tree"
    MEDIA = "watched for deploy media"
    CMDLINE = "more kernel arguments"
    RULES = "rules for disks"


@dataclass(frozen=True, slots=True)
class Told:
    """``name`` has this ``value``; ``option`` of ``fleetcast serve`` says another at its next start."""

    name: Subject
    value: str
    option: str


def told(settings: ServerSettings) -> tuple[Told, ...]:
    """Everything worth knowing of ``settings``."""
    where = ", ".join(f"{own.name} ({own.host})" for own in settings.interfaces)
    tree = str(settings.boot_tree) if settings.boot_tree else "that of the deploy medium"
    issuers = ", ".join(sorted(key[:16] for key in settings.licences.issuers))
    return (
        Told(Subject.NAME, settings.name, "--name"),
        Told(Subject.INTERFACES, where, "--interface"),
        Told(Subject.HTTPS, f"TCP {settings.https_port}", "--listen-https"),
        Told(Subject.HTTP, f"TCP {settings.http_port}", "--http-port"),
        Told(Subject.SESSION, f"{settings.session_minutes} min", "--session-minutes"),
        Told(Subject.WITHOUT, settings.licences.without.value, "--without-licence"),
        Told(Subject.ISSUERS, issuers, "--licence-issuer"),
        Told(Subject.IMAGES, str(settings.images), "--images"),
        Told(Subject.STATE, str(settings.state), "--state"),
        Told(Subject.TREE, tree, "--boot-tree"),
        Told(Subject.MEDIA, ", ".join(map(str, settings.media)), "--media"),
        Told(Subject.CMDLINE, settings.extra_cmdline, "--extra-cmdline"),
        Told(Subject.RULES, "given" if settings.rules else "", "--rules"),
    )

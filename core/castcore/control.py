"""What client and server say to each other over TLS: one frozen value per message.

The client asks, the server answers; paths are in ``docs/control.md``. Each class has ``to_json``
and ``from_json``; what cannot be parsed raises BadPacket and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, cast

from castcore.disk import DiskFacts
from castcore.plain import from_plain, to_plain

API = "/api/v1"
# What is said here changes with this number; client and server with different ones do not talk.
CONTROL = 2
# The id of the one cast that `fleetcast send` makes.
ONE_SHOT = "send"


class Message:
    """What all messages share: their JSON spelling, and reading it back checked."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return cast(dict[str, Any], to_plain(self))

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The message that ``value`` spells. Raises BadPacket, naming the field that does not fit."""
        return from_plain(cls, value)


class ClientState(StrEnum):
    """What a client is doing; its screen and the console use these words."""

    READY = "ready"
    PLANNING = "planning"
    JOINING = "joining"
    RECEIVING = "receiving"
    FILLING = "filling"
    VERIFYING = "verifying"
    CAPTURING = "capturing"
    DONE = "done"
    FAILED = "failed"
    REBOOTING = "rebooting"


class OrderKind(StrEnum):
    """What a server can tell a client to do."""

    CAST = "cast"
    CAPTURE = "capture"
    REBOOT = "reboot"
    POWER_OFF = "power-off"


class AfterCast(StrEnum):
    """What a client does when a cast or a capture has ended well."""

    REBOOT = "reboot"
    POWER_OFF = "power-off"
    STAY = "stay"


class Standing(StrEnum):
    """How a server receives a machine that registers: only an admitted one takes part."""

    ADMITTED = "admitted"
    # The operator has still to approve it.
    WAITING = "waiting"
    # Another one is here that says it is the same machine.
    RIVAL = "rival"
    DENIED = "denied"
    # They do not speak the same version; no answer of a server, it refuses.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Nic:
    """A wired network interface: ``speed`` in Mbit/s (0 unknown), addresses with prefix length."""

    name: str
    mac: str
    driver: str = ""
    speed: int = 0
    link: bool = False
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Who a machine is, from DMI (SMBIOS): ``uuid`` is "" when it is missing or a placeholder."""

    uuid: str
    vendor: str = ""
    product: str = ""
    serial: str = ""
    board_serial: str = ""
    firmware: str = ""
    secure_boot: bool = False
    memory: int = 0
    cpus: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A PCI device or USB interface: where it sits, the kernel's name for what it is (``modalias``, all
    its ids in one string), and the driver that has it ("" for none).
    """

    address: str
    modalias: str
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Registration(Message):
    """POST /clients: everything a client knows of itself; the answer is :class:`Registered`.

    ``control`` is its CONTROL (clients before the second did not say), ``key`` the hex of the Ed25519
    public key it made at its start, ``clock`` its time in Unix seconds (0: not said).
    """

    machine: Machine
    nics: tuple[Nic, ...]
    disks: tuple[DiskFacts, ...]
    version: str
    devices: tuple[Device, ...] = ()
    control: int = 1
    key: str = ""
    clock: int = 0


@dataclass(frozen=True, slots=True)
class Registered(Message):
    """The server's answer: the client's id, the token that its later requests carry, the nonce that they
    prove it with (:mod:`castcore.proof`), and the server's time in Unix seconds.

    Without ``standing`` ADMITTED there is no token: it asks again every few seconds; ``why`` is for its
    screen, where the code of its key stands too (:func:`castcore.words.machine_words`).
    """

    client: str
    token: str
    nonce: str = ""
    standing: Standing = Standing.ADMITTED
    why: str = ""
    clock: int = 0


@dataclass(frozen=True, slots=True)
class Order(Message):
    """One order; ``number`` grows by one per client, and is how a client says what it has seen.

    ``cast`` is the id of the cast, or of the capture. ``update``: receive only the chunks in which the
    disk differs from the image. Of a capture: the ``image`` to be made of ``disks`` (stable ids) or only
    of these ``partitions`` of them, with ``full_sectors`` every byte, with ``rescue`` zeros for what
    cannot be read. Of a cast: ``rules``, a rule file, choose the disks, before the machine's own ("":
    none).
    """

    number: int
    kind: OrderKind
    cast: str = ""
    after: AfterCast = AfterCast.REBOOT
    update: bool = False
    image: str = ""
    disks: tuple[str, ...] = ()
    full_sectors: bool = False
    rescue: bool = False
    partitions: tuple[int, ...] = ()
    rules: str = ""


@dataclass(frozen=True, slots=True)
class LicenceAnswer(Message):
    """The answer to POST /casts/ID/licence: whether this machine may be written, else ``why`` not."""

    granted: bool
    why: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report(Message):
    """POST /clients/ID/report: state and progress, and with DONE the proof of what was written.

    ``cast`` is the id of the cast or the capture.

    All counts are bytes; ``kept`` of ``done`` were on the disk before. ``root`` is the hex digest over
    the index whose every chunk was verified and written ("" before that); ``message`` is one sentence
    for a person. ``retry``: after FAILED, the client tries again by itself in so many seconds (0: not).
    """

    state: ClientState
    cast: str = ""
    message: str = ""
    done: int = 0
    total: int = 0
    written: int = 0
    kept: int = 0
    multicast: int = 0
    unicast: int = 0
    peers: int = 0
    repaired: int = 0
    seconds: int = 0
    root: str = ""
    logs: tuple[str, ...] = ()
    retry: int = 0


@dataclass(frozen=True, slots=True)
class MachineLog(Message):
    """POST /clients/ID/log: all that a client knows of its run, when a cast has ended or failed.

    ``reason`` is the state it ended in; ``kernel`` and ``journal`` are lines joined by newlines, the
    last LOG_SIZE bytes of each.
    """

    reason: ClientState
    kernel: str
    journal: str
    about: str = ""


# What is kept of one log, in characters: with JSON's escapes the message stays below a megabyte.
LOG_SIZE = 192 << 10

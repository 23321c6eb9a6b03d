"""What client and server say to each other over TLS: one frozen value per message.

The client asks, the server answers; paths are in ``docs/control.md``. Each class has ``to_json``
and ``from_json``; what cannot be parsed raises BadPacket and nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from castcore.disk import DiskFacts, facts_from_json, facts_to_json
from castcore.errors import BadPacket

API = "/api/v1"


class ClientState(StrEnum):
    """What a client is doing; its screen and the console use these words."""

    READY = "ready"
    PLANNING = "planning"
    JOINING = "joining"
    RECEIVING = "receiving"
    FILLING = "filling"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    REBOOTING = "rebooting"


class OrderKind(StrEnum):
    """What a server can tell a client to do."""

    CAST = "cast"
    REBOOT = "reboot"
    POWER_OFF = "power-off"


class AfterCast(StrEnum):
    """What a client does when a cast has ended well."""

    REBOOT = "reboot"
    POWER_OFF = "power-off"
    STAY = "stay"


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
class Registration:
    """POST /clients: everything a client knows of itself; the answer is :class:`Registered`."""

    machine: Machine
    nics: tuple[Nic, ...]
    disks: tuple[DiskFacts, ...]
    version: str

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "machine": asdict(self.machine),
            "nics": [asdict(n) for n in self.nics],
            "disks": [facts_to_json(d) for d in self.disks],
            "version": self.version,
        }

    @classmethod
    def from_json(cls, value: Any) -> Registration:
        """The registration that ``value`` spells. Raises BadPacket."""
        try:
            nics = tuple(Nic(**{**n, "addresses": tuple(n["addresses"])}) for n in value["nics"])
            disks = tuple(facts_from_json(d) for d in value["disks"])
            return cls(Machine(**value["machine"]), nics, disks, str(value["version"]))
        except (TypeError, KeyError, ValueError) as error:
            raise BadPacket(f"not a registration: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Registered:
    """The server's answer: the client's id, and the token its later requests carry."""

    client: str
    token: str

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Registered:
        """The answer that ``value`` spells. Raises BadPacket."""
        try:
            return cls(str(value["client"]), str(value["token"]))
        except (TypeError, KeyError) as error:
            raise BadPacket(f"not a registration's answer: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Order:
    """One order; ``number`` grows by one per client, and is how a client says what it has seen."""

    number: int
    kind: OrderKind
    cast: str = ""
    after: AfterCast = AfterCast.REBOOT

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Order:
        """The order that ``value`` spells. Raises BadPacket."""
        try:
            number = value["number"]
            if type(number) is not int:
                raise TypeError("its number is no whole number")
            kind, after = OrderKind(value["kind"]), AfterCast(value["after"])
            return cls(number, kind, str(value["cast"]), after)
        except (TypeError, KeyError, ValueError) as error:
            raise BadPacket(f"not an order: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Report:
    """POST /clients/ID/report: state and progress, and with DONE the proof of what was written.

    All counts are bytes. ``root`` is the hex digest over the index whose every chunk was verified
    and written ("" before that); ``message`` is one sentence for a person.
    """

    state: ClientState
    cast: str = ""
    message: str = ""
    done: int = 0
    total: int = 0
    written: int = 0
    multicast: int = 0
    unicast: int = 0
    repaired: int = 0
    seconds: int = 0
    root: str = ""
    logs: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {**asdict(self), "logs": list(self.logs)}

    @classmethod
    def from_json(cls, value: Any) -> Report:
        """The report that ``value`` spells. Raises BadPacket."""
        try:
            state = ClientState(value["state"])
            logs = tuple(str(line) for line in value.get("logs", ()))
            report = cls(**{**value, "state": state, "logs": logs})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise BadPacket(f"not a report: {error!r}") from None
        counts = (report.done, report.total, report.written, report.multicast, report.unicast)
        if any(type(n) is not int or n < 0 for n in (*counts, report.repaired, report.seconds)):
            raise BadPacket("not a report: a count is no whole number")
        return report

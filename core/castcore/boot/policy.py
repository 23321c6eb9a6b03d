"""Who boots what, and what happened: the values that services and the server's policy share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from castcore.boot.message import DhcpReply


class BootDecision(StrEnum):
    """What a machine that tries a network boot gets; IMAGE: the boot image that was ordered for it."""

    CLIENT = "client"
    LOCAL = "local"
    IMAGE = "image"
    IGNORE = "ignore"


class BootStage(StrEnum):
    """How far a machine's network boot came, in this order; the last four are not steps of it.

    REQUESTED: it asks a DHCP server, ours or another, for an address. ASKED: it asks port 4011 what to
    load. TFTP, HTTP: it loads a boot program or what that needs. CLIENT: our client runs on it.
    """

    DISCOVER = "discover"
    OFFERED = "offered"
    REQUESTED = "requested"
    LEASED = "leased"
    ASKED = "asked"
    TFTP = "tftp"
    HTTP = "http"
    KERNEL = "kernel"
    CLIENT = "client"
    SKIPPED = "skipped"
    REFUSED = "refused"
    IGNORED = "ignored"
    FAILED = "failed"


@dataclass(frozen=True)
class Transfer:
    """How far a boot ``file`` was sent: ``done`` of its ``total`` bytes. ``over``: it ended there."""

    file: str
    done: int
    total: int
    over: bool = False

    @property
    def whole(self) -> bool:
        """Whether the machine got all of it."""
        return self.over and self.done >= self.total

    @property
    def percent(self) -> int:
        """How much of the file, rounded down."""
        return min(self.done * 100 // self.total, 100) if self.total > 0 else 0


@dataclass(frozen=True)
class BootEvent:
    """One thing that happened to the machine ``mac`` ("" when it could not be told which).

    ``address``: the IPv4 address it has or asks for, "" when that is not known.
    """

    mac: str
    stage: BootStage
    detail: str
    address: str = ""
    transfer: Transfer | None = None


@dataclass(frozen=True)
class Verdict:
    """What to send (None: nothing) and what to tell the operator (None: nothing worth telling).

    ``probe``: both wait until the address of ``reply`` has proven free.
    """

    reply: DhcpReply | None = None
    event: BootEvent | None = None
    probe: bool = False


class BootPolicy(Protocol):
    """Decides who boots what; called for each network-boot packet, from several threads."""

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """What the machine with ``mac`` (lower case, colons) and SMBIOS ``uuid`` ("" unknown) gets."""


@dataclass(frozen=True)
class Everyone:
    """The policy that treats all machines alike."""

    decision: BootDecision

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """The same for each."""
        del mac, uuid
        return self.decision

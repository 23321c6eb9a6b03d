"""What the server does for network boots on one interface, and why: decided from what is known there.

Our own DHCP server is the one thing that can harm a network, so it runs only where no other was found
and the operator allowed it, and ends the moment another is heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castcore.boot.survey import FoundServer


class InterfaceMode(StrEnum):
    """What is served on one interface.

    PROXY: boot information beside the site's DHCP server. SKIP: the same, telling every machine to boot
    its own disk. DHCP: addresses too. SILENT: no answer to anybody.
    """

    PROXY = "proxy"
    SKIP = "skip"
    DHCP = "dhcp"
    SILENT = "silent"


class WantedMode(StrEnum):
    """What the operator asks for on one interface.

    AUTO: whatever suits the network. PROXY: there is a DHCP server, found or not. DHCP: our own DHCP
    server or nothing. OFF: nothing.
    """

    AUTO = "auto"
    PROXY = "proxy"
    DHCP = "dhcp"
    OFF = "off"


class Presence(StrEnum):
    """Whether another DHCP server answers on a network."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"


@dataclass(frozen=True)
class Situation:
    """All that decides; ``now`` is the mode until this moment.

    ``deploy``: PXE deploy is on. ``own_dhcp``: the operator said yes to our own DHCP server.
    ``casting``: a cast runs. ``servers``: the others that were found. ``holder``: who on this host has
    the port of DHCP servers, "" nobody: it may be one, and our questions do not reach it.
    """

    wanted: WantedMode = WantedMode.AUTO
    presence: Presence = Presence.UNKNOWN
    deploy: bool = True
    own_dhcp: bool = False
    casting: bool = False
    servers: tuple[FoundServer, ...] = ()
    now: InterfaceMode = InterfaceMode.SILENT
    holder: str = ""


@dataclass(frozen=True)
class ModeDecision:
    """The mode, why in a sentence, and what the operator is warned of ("": nothing)."""

    mode: InterfaceMode
    reason: str
    warning: str = ""


def mode_for(situation: Situation) -> ModeDecision:
    """What to serve in this ``situation``."""
    decide = {
        WantedMode.AUTO: _suiting,
        WantedMode.PROXY: _beside,
        WantedMode.DHCP: _alone,
        WantedMode.OFF: _off,
    }[situation.wanted]
    mode, reason = decide(situation)
    rivals = [found for found in situation.servers if found.pxe]
    if mode is InterfaceMode.SILENT or not rivals:
        return ModeDecision(mode, reason)
    return ModeDecision(
        mode, reason, f"another PXE server answers here, machines may follow it: {named(rivals)}"
    )


def named(servers: tuple[FoundServer, ...] | list[FoundServer]) -> str:
    """``servers`` for people: address, MAC address and name, as far as they are known."""
    return ", ".join(found.label for found in servers)


def _off(situation: Situation) -> tuple[InterfaceMode, str]:
    del situation
    return InterfaceMode.SILENT, "network booting is turned off here"


def _beside(situation: Situation) -> tuple[InterfaceMode, str]:
    if situation.deploy:
        return InterfaceMode.PROXY, f"boot information beside {_site(situation)}"
    return InterfaceMode.SKIP, "PXE deploy is off: machines are sent to their own disks"


def _alone(situation: Situation) -> tuple[InterfaceMode, str]:
    if situation.presence is Presence.PRESENT:
        return InterfaceMode.SILENT, f"no own DHCP server, because {_site(situation)} answers here"
    if situation.presence is Presence.UNKNOWN:
        return InterfaceMode.SILENT, "first it is seen whether a DHCP server answers here"
    if not situation.deploy:
        return InterfaceMode.SILENT, "PXE deploy is off and no DHCP server answers here"
    return InterfaceMode.DHCP, "no other DHCP server answers here, so ours does"


def _suiting(situation: Situation) -> tuple[InterfaceMode, str]:
    beside = situation.now in (InterfaceMode.PROXY, InterfaceMode.SKIP)
    if situation.presence is Presence.PRESENT or (
        situation.presence is Presence.ABSENT and situation.holder
    ):
        return _beside(situation)
    if situation.presence is Presence.UNKNOWN and beside:
        # A link that went away for a moment: who is loading files goes on.
        return _beside(situation)
    if situation.presence is Presence.ABSENT and situation.deploy:
        if not situation.own_dhcp:
            # It leases nothing, so it harms nobody, and some servers answer known machines only.
            return InterfaceMode.PROXY, (
                "no DHCP server answers here, so machines get no address: start one, or allow our own"
            )
        if situation.casting and beside:
            return InterfaceMode.PROXY, (
                "the DHCP server fell silent during a cast: ours waits for the cast's end"
            )
    return _alone(situation)


def _site(situation: Situation) -> str:
    servers = [found for found in situation.servers if found.dhcp]
    if servers:
        return f"the DHCP server {named(servers)}"
    if situation.presence is Presence.ABSENT and situation.holder:
        return f"what is taken for a DHCP server on this host, for no other answers: {situation.holder}"
    return "the site's DHCP server"

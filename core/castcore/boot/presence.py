"""Which DHCP and PXE servers a network has, remembered over probes. Time is given, never read.

One that answers us is there as long as it does. One that never answers us, because it knows only its own
machines, is heard when those talk to it, and believed for a day. That none is there takes proof: probes
without any answer, and after a change of the link long enough for a switch port to open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from castcore.boot.modes import Presence
from castcore.boot.survey import FoundServer

# Answers are waited for this long after a question, in seconds; ISC's server pings an address for 1 s
# before it offers it, dnsmasq for up to 3 s: its answer comes into the next probe.
PROBE_SECONDS = 3.0
# So many probes without an answer prove that nobody answers, or that a server is gone.
PROOF = 2
PROBE_EVERY = 30.0
# While nothing is proven.
PROBE_SOON = 4.0
# Spanning tree keeps a port shut for twice its forward delay of 15 s (IEEE 802.1D-2004, 17.14).
LINK_SECONDS = 35.0
# A machine of a network whose server knows only its own boots once a day.
HEARD_SECONDS = 24 * 3600.0
# A network has a few servers; somebody who invents some pushes out the oldest.
MOST_SERVERS = 64


class _Role(Enum):
    """What a server does; one may cease to do one of them."""

    DHCP = "dhcp"
    PXE = "pxe"


@dataclass(frozen=True)
class _Sighting:
    found: FoundServer
    heard: float
    answers: bool
    misses: int = 0


class PresenceWatch:
    """What is known of the other servers of one network; all times are seconds of one clock."""

    def __init__(self) -> None:
        self._sightings: dict[tuple[str, _Role], _Sighting] = {}
        self._asked = 0.0
        self._quiet = 0
        self._not_before = 0.0
        self._leased = False

    def asked(self, now: float) -> None:
        """A probe begins."""
        self._asked = now

    def heard(self, found: FoundServer, now: float, *, by_us: bool, offered: bool = False) -> None:
        """``found`` said something: to our question (``by_us``), or between it and others.

        ``offered``: an OFFER. One to us without an address is a proxy's, which may have leased before:
        as a DHCP server it is believed from now on only while it gives us addresses.
        """
        leasing = self._sightings.get((found.address, _Role.DHCP))
        if by_us and offered and not found.dhcp and leasing is not None:
            self._sightings[found.address, _Role.DHCP] = replace(leasing, answers=True)
        for role, does in ((_Role.DHCP, found.dhcp), (_Role.PXE, found.pxe)):
            if does:
                self._note(role, found, now, by_us=by_us)
        while len(self._sightings) > MOST_SERVERS:
            del self._sightings[next(iter(self._sightings))]

    def leased(self, *, held: bool) -> None:
        """Whether the interface holds an address that a DHCP server gave it."""
        self._leased = held

    def probed(self, now: float) -> None:
        """The answers to the last question have been waited for."""
        for key, sighting in list(self._sightings.items()):
            misses = sighting.misses + 1 if sighting.heard < self._asked else 0
            self._sightings[key] = replace(sighting, misses=misses)
            if misses >= PROOF if sighting.answers else now - sighting.heard > HEARD_SECONDS:
                del self._sightings[key]
        answered = any(s.heard >= self._asked for s in self._of(_Role.DHCP))
        self._quiet = 0 if answered else self._quiet + 1

    def doubt(self, now: float, seconds: float) -> None:
        """The network may be another one: absence is to be proven again, not within ``seconds``."""
        self._quiet = 0
        self._not_before = max(self._not_before, now + seconds)

    def presence(self, now: float) -> Presence:
        """Whether another DHCP server is there."""
        if self._leased or self._of(_Role.DHCP):
            return Presence.PRESENT
        proven = self._quiet >= PROOF and now >= self._not_before
        return Presence.ABSENT if proven else Presence.UNKNOWN

    def pause(self, now: float) -> float:
        """Seconds from one probe to the next: fewer while something is to be proven."""
        missing = any(s.answers and s.misses for s in self._sightings.values())
        sure = self.presence(now) is not Presence.UNKNOWN and not missing
        return PROBE_EVERY if sure else PROBE_SOON

    def servers(self) -> tuple[FoundServer, ...]:
        """The servers that are there, by address, each with what it does."""
        found: dict[str, FoundServer] = {}
        for (address, role), sighting in self._sightings.items():
            one, other = sighting.found, found.get(address)
            found[address] = FoundServer(
                address,
                one.mac or (other.mac if other else ""),
                one.name or (other.name if other else ""),
                pxe=role is _Role.PXE or (other is not None and other.pxe),
                dhcp=role is _Role.DHCP or (other is not None and other.dhcp),
            )
        return tuple(found[address] for address in sorted(found))

    def _note(self, role: _Role, found: FoundServer, now: float, *, by_us: bool) -> None:
        before = self._sightings.pop((found.address, role), None)
        if before is not None:
            by_us = by_us or before.answers
            mac, name = found.mac or before.found.mac, found.name or before.found.name
            found = replace(found, mac=mac, name=name)
        self._sightings[found.address, role] = _Sighting(found, now, by_us)
        if role is _Role.DHCP:
            self._quiet = 0

    def _of(self, role: _Role) -> list[_Sighting]:
        return [s for (_, own), s in self._sightings.items() if own is role]

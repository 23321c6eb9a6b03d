"""Machines added by hand before they were ever met: how they are known, and if they are already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from castcore.control import Machine, Nic, Registration
from castcore.errors import Refused

from castserver.casts.policy import boot_mac
from castserver.machines.machineid import Traits, same_machine, traits, usable_serial, usable_uuid

MOST_MACS = 32
LONGEST_SERIAL = 128
GIVE = "give a MAC address or a UUID"


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a machine is known: MACs (lower case, colons), and "" for what is not given.

    The serial number tells machines apart whose boards carry one UUID.
    """

    macs: tuple[str, ...] = ()
    uuid: str = ""
    serial: str = ""

    @property
    def registration(self) -> Registration:
        """The same as a client that knows no more of its machine would tell it."""
        nics = tuple(Nic("", mac) for mac in self.macs)
        return Registration(Machine(self.uuid, serial=self.serial), nics, (), "")


def checked_macs(macs: Iterable[str]) -> tuple[str, ...]:
    """``macs`` in order, each once. Raises Refused."""
    found = []
    for text in macs:
        mac = boot_mac(text)
        if not mac or mac == "00:00:00:00:00:00" or int(mac[:2], 16) & 1:
            raise Refused(f"{text[:40]!r} is no machine's MAC address", hint="as 52:54:00:12:34:56")
        found.append(mac)
    if len(found) > MOST_MACS:
        raise Refused(f"a machine is given at most {MOST_MACS} MAC addresses")
    return tuple(dict.fromkeys(found))


def checked_uuid(text: str) -> str:
    """``text`` as a UUID, "" for none. Raises Refused: one that many machines share, too."""
    uuid = usable_uuid(text)
    if text.strip() and not uuid:
        raise Refused(
            f"{text[:40]!r} is no UUID, or one that many machines share", hint="give its MAC address"
        )
    return uuid


def checked_serial(text: str) -> str:
    """``text`` as a serial number, "" for none. Raises Refused: a placeholder, too."""
    serial = usable_serial(text)
    if text.strip() and (not serial or len(serial) > LONGEST_SERIAL or not serial.isprintable()):
        raise Refused(f"{text[:40]!r} is no serial number, or one that many machines share")
    return serial


def identity_of(registration: Registration) -> Identity:
    """By what the machine is known that sent ``registration``."""
    seen = traits(registration)
    macs = dict.fromkeys(n.mac.lower() for n in registration.nics if n.mac)
    return Identity(tuple(macs), seen.uuid, seen.serial)


def same_entry(known: Traits, wanted: Traits, *, met: bool) -> bool:
    """Whether an entry known by ``wanted`` would be the machine, or the entry, ``known``.

    A UUID decides; of two without it MACs do, because nothing else would tell them apart. ``met``:
    what is known was told by the machine itself.
    """
    if wanted.uuid:
        return same_machine(known, wanted)
    return bool((met or not known.uuid) and known.macs & wanted.macs)

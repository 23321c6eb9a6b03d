"""Which known machine a client is: pure rules over what firmware and disks say of themselves.

DMI UUIDs are the best name, but vendors ship boards with placeholders and with one UUID stamped on a
whole batch; serial numbers tell those apart. A MAC alone never merges machines (USB network adapters
travel from desk to desk) and never splits one (a network card gets replaced). An *entry* is a machine
that somebody named before it was met; one that is known by MACs alone is claimed by the first machine
never met before that has one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from castcore.control import Machine, Registration

# Seen in the field on many different boards: AMI's and Phoenix's defaults, and their byte-swapped forms.
PLACEHOLDER_UUIDS = frozenset(
    {
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "12345678-1234-1234-1234-123456789abc",
        "01234567-8910-1112-1314-151617181920",
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
    }
)
PLACEHOLDER_SERIALS = frozenset(
    {
        "",
        "0",
        "none",
        "n/a",
        "na",
        "unknown",
        "default string",
        "not applicable",
        "not available",
        "not specified",
        "system serial number",
        "chassis serial number",
        "base board serial number",
        "to be filled by o.e.m.",
        "to be filled by oem",
        "serial number",
        "123456789",
        "1234567890",
        "0123456789",
        "oem",
        "empty",
        "invalid",
    }
)


@dataclass(frozen=True)
class Traits:
    """What identifies a machine; "" or empty where it does not say. MACs are lower case."""

    uuid: str
    serial: str
    board_serial: str
    model: str
    macs: frozenset[str]
    disks: frozenset[str]


NO_TRAITS = Traits("", "", "", "", frozenset(), frozenset())


def usable_uuid(text: str) -> str:
    """``text`` as a lower-case UUID, or "" when it is none or one that many machines share."""
    try:
        uuid = UUID(text.strip())
    except ValueError:
        return ""
    if len(set(uuid.bytes)) == 1 or str(uuid) in PLACEHOLDER_UUIDS:
        return ""
    return str(uuid)


def usable_serial(text: str) -> str:
    """``text`` trimmed, or "" when it is a placeholder."""
    serial = text.strip()
    plain = serial.casefold()
    if plain in PLACEHOLDER_SERIALS or len(set(plain)) == 1:
        return ""
    return serial


def traits(registration: Registration) -> Traits:
    """What identifies the machine that sent ``registration``."""
    machine = registration.machine
    return Traits(
        usable_uuid(machine.uuid),
        usable_serial(machine.serial),
        usable_serial(machine.board_serial),
        _model(machine),
        frozenset(n.mac.lower() for n in registration.nics if n.mac),
        frozenset(d.stable_id for d in registration.disks if d.stable_id),
    )


def same_machine(known: Traits, seen: Traits) -> bool:
    """Whether two sets of traits are of one machine.

    UUIDs decide when both have one, unless serial numbers contradict (one UUID on a whole batch).
    Then serial numbers of the same model decide; a machine without any of these is known by its disks
    and a MAC together, never by a MAC alone.
    """
    if known.uuid and seen.uuid:
        return same_uuid(known.uuid, seen.uuid) and not _serials_differ(known, seen)
    if known.model != seen.model or _serials_differ(known, seen):
        return False
    if _any_equal((known.serial, seen.serial), (known.board_serial, seen.board_serial)):
        return True
    if known.uuid or seen.uuid:
        return False
    return bool(known.macs & seen.macs and known.disks & seen.disks)


def find_machine(known: Iterable[tuple[str, Traits]], seen: Traits) -> str | None:
    """The id of the known machine that ``seen`` is, or None: a machine never met before."""
    return next((name for name, had in known if same_machine(had, seen)), None)


def find_at_boot(known: Iterable[tuple[str, Traits]], mac: str, uuid: str) -> str | None:
    """The id of the machine whose firmware asks to boot, by DHCP option 97 and the MAC; None unknown.

    Firmware sends the UUID in SMBIOS or in network byte order, so both are tried. Only a firmware that
    sends no usable UUID is looked up by MAC, and only among machines that have none either.
    """
    known = list(known)
    asked = usable_uuid(uuid)
    if asked:
        fits = [(name, had) for name, had in known if had.uuid and same_uuid(had.uuid, asked)]
        by_mac = [name for name, had in fits if mac.lower() in had.macs]
        return next(iter(by_mac or [name for name, _ in fits]), None)
    return next((name for name, had in known if not had.uuid and mac.lower() in had.macs), None)


def find_entry(entries: Iterable[tuple[str, Traits]], seen: Traits) -> str | None:
    """The id of the one entry that a machine never met before claims by a MAC; None: none, or several.

    ``entries`` with a usable UUID are none of these: :func:`find_machine` finds them.
    """
    found = claimable(entries, seen)
    return found[0] if len(found) == 1 else None


def claimable(entries: Iterable[tuple[str, Traits]], seen: Traits) -> list[str]:
    """The ids of the entries known by MACs alone that share one with ``seen``."""
    return [name for name, had in entries if not had.uuid and had.macs & seen.macs]


def _model(machine: Machine) -> str:
    return f"{machine.vendor.strip()}\0{machine.product.strip()}".casefold()


def swapped(uuid: str) -> str:
    """``uuid`` with its first three fields byte-swapped, as some firmware writes it (SMBIOS 7.2.1)."""
    return str(UUID(bytes=UUID(uuid).bytes_le))


def same_uuid(left: str, right: str) -> bool:
    """Whether two usable UUIDs are equal, or one the swapped form of the other."""
    return left == right or swapped(left) == right


def _serials_differ(known: Traits, seen: Traits) -> bool:
    pairs = ((known.serial, seen.serial), (known.board_serial, seen.board_serial))
    return any(a and b and a != b for a, b in pairs)


def _any_equal(*pairs: tuple[str, str]) -> bool:
    return any(a and a == b for a, b in pairs)

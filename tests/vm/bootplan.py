"""Which firmware is booted at which site: all cells of the matrix, and the choice of `make test`.

A row is one run of the lab: a site, what our server decides for everyone, and two or three virtual PCs
that boot at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from itertools import product

from castcore.boot import BootDecision

from tests.vm.firmware import USUAL, Firmware, NetworkBoot
from tests.vm.machine import Card

VIRTIO, E1000, RTL8139 = "virtio-net-pci", "e1000", "rtl8139"
# QEMU's ROMs are iPXE without HTTPS.
REPLACE_ROMS = ("--replace-ipxe",)


class Family(StrEnum):
    """What firmware loads first, which is what our services tell apart."""

    UEFI = "UEFI PXE"
    HTTP = "UEFI HTTP boot"
    IPXE = "iPXE on BIOS"
    IPXE_UEFI = "iPXE on UEFI"


@dataclass(frozen=True)
class Model:
    """How a virtual PC with such firmware is made, and what our server must be told for it."""

    family: Family
    firmware: Firmware
    card: Card
    boot: NetworkBoot = USUAL
    server: tuple[str, ...] = ()


class BootFirmware(Enum):
    """The firmware of the matrix, by the name its cells have."""

    SECURE = "uefi-secure"
    UEFI = "uefi"
    HTTP = "uefi-http"
    IPXE_UEFI = "uefi-ipxe-e1000"
    IPXE_SECURE = "uefi-secure-ipxe-e1000"
    VIRTIO = "bios-virtio"
    E1000 = "bios-e1000"
    RTL8139 = "bios-rtl8139"
    UNDIONLY = "bios-undionly"

    @property
    def model(self) -> Model:
        """What it is made of."""
        return _MODELS[self]


_MODELS = {
    BootFirmware.SECURE: Model(Family.UEFI, Firmware.UEFI_SECURE, Card(VIRTIO)),
    BootFirmware.UEFI: Model(Family.UEFI, Firmware.UEFI, Card(VIRTIO)),
    # Without its PXE entries the firmware gets to HTTP at once, not after their time-outs.
    BootFirmware.HTTP: Model(Family.HTTP, Firmware.UEFI_SECURE, Card(VIRTIO), NetworkBoot(pxe=False)),
    BootFirmware.IPXE_UEFI: Model(Family.IPXE_UEFI, Firmware.UEFI, Card(E1000, rom=True)),
    # Secure Boot refuses the kernel to this iPXE; the firmware's own PXE comes next.
    BootFirmware.IPXE_SECURE: Model(Family.IPXE_UEFI, Firmware.UEFI_SECURE, Card(E1000, rom=True)),
    BootFirmware.VIRTIO: Model(Family.IPXE, Firmware.BIOS, Card(VIRTIO, rom=True)),
    BootFirmware.E1000: Model(Family.IPXE, Firmware.BIOS, Card(E1000, rom=True)),
    BootFirmware.RTL8139: Model(Family.IPXE, Firmware.BIOS, Card(RTL8139, rom=True)),
    BootFirmware.UNDIONLY: Model(
        Family.IPXE, Firmware.BIOS, Card(VIRTIO, rom=True), server=REPLACE_ROMS
    ),
}


class Site(StrEnum):
    """What else is on the network."""

    DNSMASQ = "dnsmasq"  # beside us
    ISC = "isc"  # ISC's DHCP server beside us, found by our server itself
    KEA = "kea"  # Kea's DHCP server, likewise
    ALONE = "alone"  # no DHCP server but our own, which finds that out and may
    RELAY = "relay"  # the PCs are in another subnet, behind a DHCP relay
    TWO = "two"  # one whole server: a proxy on one interface, beside dnsmasq; a DHCP server on another


@dataclass(frozen=True)
class Row:
    """PCs that boot together. At `Site.TWO` they are on the two networks by turns."""

    site: Site
    decision: BootDecision
    firmware: tuple[BootFirmware, ...]

    @property
    def name(self) -> str:
        """Also the name of the folder with its captures and logs."""
        return "-".join((self.site, self.decision, "+".join(f.value for f in self.firmware)))

    def cells(self) -> Iterator[tuple[BootFirmware, Site, BootDecision]]:
        """Each PC as a cell of the matrix."""
        return ((firmware, self.site, self.decision) for firmware in self.firmware)


DECISIONS = (BootDecision.CLIENT, BootDecision.LOCAL)
_CLIENT, _LOCAL = DECISIONS
_B = BootFirmware
# Every family at every site, every site and every firmware with both decisions, in ten rows. A row takes
# as long as its slowest PC, so slow firmware (UEFI, to our client) comes in pairs. Kea's site, which
# differs from ISC's in nothing that a PC sees, is left to `make test-full`.
SITES = tuple(site for site in Site if site is not Site.KEA)
CHOSEN = tuple(
    Row(site, decision, firmware)
    for site, decision, firmware in (
        (Site.DNSMASQ, _CLIENT, (_B.SECURE, _B.UEFI)),
        (Site.DNSMASQ, _LOCAL, (_B.HTTP, _B.IPXE_UEFI, _B.UNDIONLY)),
        (Site.ISC, _CLIENT, (_B.HTTP, _B.IPXE_UEFI, _B.RTL8139)),
        (Site.ISC, _LOCAL, (_B.UEFI, _B.VIRTIO, _B.E1000)),
        (Site.ALONE, _CLIENT, (_B.UNDIONLY,)),
        (Site.ALONE, _LOCAL, (_B.SECURE, _B.HTTP, _B.IPXE_UEFI)),
        (Site.RELAY, _CLIENT, (_B.IPXE_SECURE,)),
        (Site.RELAY, _LOCAL, (_B.SECURE, _B.HTTP, _B.RTL8139)),
        (Site.TWO, _CLIENT, (_B.VIRTIO, _B.E1000)),
        (Site.TWO, _LOCAL, (_B.SECURE, _B.HTTP, _B.IPXE_SECURE)),
    )
)


def remaining() -> tuple[Row, ...]:
    """The cells of the whole matrix that are not in `CHOSEN`, two PCs a row."""
    done = {cell for row in CHOSEN for cell in row.cells()}
    rows = []
    for site, decision in product(Site, DECISIONS):
        left = [f for f in _MIXED if (f, site, decision) not in done]
        while left:
            pair = tuple(left[:1] + [f for f in left[1:] if _may_meet(left[0], f)][:1])
            rows.append(Row(site, decision, pair))
            left = [f for f in left if f not in pair]
    return tuple(rows)


def _may_meet(one: BootFirmware, other: BootFirmware) -> bool:
    """Undionly not beside another BIOS machine, whose ROM would be replaced as well."""
    return one is not _B.UNDIONLY or other.model.firmware.is_uefi


# UEFI and BIOS by turns.
_MIXED = (
    BootFirmware.UNDIONLY,
    BootFirmware.SECURE,
    BootFirmware.UEFI,
    BootFirmware.VIRTIO,
    BootFirmware.HTTP,
    BootFirmware.E1000,
    BootFirmware.IPXE_UEFI,
    BootFirmware.RTL8139,
    BootFirmware.IPXE_SECURE,
)

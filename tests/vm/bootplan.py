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
    ISC = "isc"  # ISC's DHCP server beside us
    ALONE = "alone"  # no DHCP server but our own
    RELAY = "relay"  # the PCs are in another subnet, behind a DHCP relay
    TWO = "two"  # a proxy on one interface of ours, beside dnsmasq; a DHCP server on another


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
# Every family at every site, every site and every firmware with both decisions, in ten rows.
CHOSEN = tuple(
    Row(site, decision, firmware)
    for site, decision, firmware in (
        (Site.DNSMASQ, _CLIENT, (BootFirmware.SECURE, BootFirmware.VIRTIO)),
        (Site.DNSMASQ, _LOCAL, (BootFirmware.HTTP, BootFirmware.IPXE_UEFI, BootFirmware.UNDIONLY)),
        (Site.ISC, _CLIENT, (BootFirmware.HTTP, BootFirmware.IPXE_UEFI)),
        (Site.ISC, _LOCAL, (BootFirmware.UEFI, BootFirmware.E1000)),
        (Site.ALONE, _CLIENT, (BootFirmware.UEFI, BootFirmware.UNDIONLY)),
        (Site.ALONE, _LOCAL, (BootFirmware.HTTP, BootFirmware.IPXE_UEFI, BootFirmware.VIRTIO)),
        (Site.RELAY, _CLIENT, (BootFirmware.HTTP, BootFirmware.RTL8139)),
        (Site.RELAY, _LOCAL, (BootFirmware.SECURE, BootFirmware.IPXE_SECURE, BootFirmware.RTL8139)),
        (Site.TWO, _CLIENT, (BootFirmware.IPXE_SECURE, BootFirmware.E1000)),
        (Site.TWO, _LOCAL, (BootFirmware.SECURE, BootFirmware.HTTP)),
    )
)


def remaining() -> tuple[Row, ...]:
    """The cells of the whole matrix that are not in `CHOSEN`, two PCs a row."""
    done = {cell for row in CHOSEN for cell in row.cells()}
    rows = []
    for site, decision in product(Site, DECISIONS):
        left = [f for f in _MIXED if (f, site, decision) not in done]
        rows += [Row(site, decision, tuple(left[n : n + 2])) for n in range(0, len(left), 2)]
    return tuple(rows)


# UEFI and BIOS by turns; undionly not beside another BIOS machine, whose ROM would be replaced as well.
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

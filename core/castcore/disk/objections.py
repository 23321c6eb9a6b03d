"""What a machine's firmware or an operating system will object to after a restore. Pure.

Warnings, never refusals: an operator may enrol a key, have recovery keys, or change the firmware's mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from castcore.disk.bootentry import BootEntry, BootLoader, Signer, efi_system_partitions
from castcore.disk.layout import DiskLayout, TableType

BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
BITLOCKER = "BitLocker"


@dataclass(frozen=True, slots=True)
class FirmwareFacts:
    """How a machine starts: by UEFI or not, whether Secure Boot is enforced, and whom it trusts."""

    uefi: bool
    secure_boot: bool = False
    trusted: tuple[Signer, ...] = ()


def objections(
    layouts: Sequence[DiskLayout],
    entries: Sequence[BootEntry],
    loaders: Sequence[BootLoader],
    firmware: FirmwareFacts | None,
) -> tuple[str, ...]:
    """A sentence for each objection; ``firmware`` is None when the disk is not for this machine."""
    found = list(_bitlocker(layouts))
    if firmware is not None:
        found += _mode(layouts, firmware)
        if firmware.secure_boot:
            found += _unsigned(entries, loaders, firmware.trusted)
    return tuple(found)


def _bitlocker(layouts: Sequence[DiskLayout]) -> Iterator[str]:
    for number, layout in enumerate(layouts):
        for partition in layout.partitions:
            if partition.fstype == BITLOCKER:
                yield (
                    f"partition {partition.number} of disk {number} is encrypted by BitLocker: the"
                    " TPM of another machine does not unlock it; have its recovery key ready"
                )


def _mode(layouts: Sequence[DiskLayout], firmware: FirmwareFacts) -> Iterator[str]:
    uefi = any(True for layout in layouts for _ in efi_system_partitions(layout))
    bios = any(_boots_by_bios(layout) for layout in layouts)
    if firmware.uefi and bios and not uefi:
        yield (
            "the image boots by BIOS only, and this machine was started by UEFI: it boots only where"
            " the firmware can be set to BIOS (CSM, legacy)"
        )
    if not firmware.uefi and uefi and not bios:
        yield (
            "the image boots by UEFI only, and this machine was started by BIOS:"
            " set its firmware to UEFI"
        )


def _boots_by_bios(layout: DiskLayout) -> bool:
    if layout.table is TableType.GPT:
        return any(p.type.lower() == BIOS_BOOT for p in layout.partitions)
    return layout.table is TableType.MBR and any(p.bootable for p in layout.partitions)


def _unsigned(
    entries: Sequence[BootEntry], loaders: Sequence[BootLoader], trusted: Sequence[Signer]
) -> Iterator[str]:
    keys = {signer.key for signer in trusted}
    for loader in _started(entries, loaders):
        if not loader.signers:
            yield f"Secure Boot will refuse {loader.path}: it is not signed"
        elif keys and not keys & {signer.key for signer in loader.signers}:
            yield (
                f"Secure Boot will refuse {loader.path}: it is signed under"
                f" {_names(loader.signers)}; this machine trusts {_names(trusted)}"
            )


def _started(entries: Sequence[BootEntry], loaders: Sequence[BootLoader]) -> Iterable[BootLoader]:
    """The loaders that the firmware starts: those of the boot entries, else the fallback loaders."""
    named = {(e.disk, e.partition, e.loader.lower()) for e in entries if e.active and e.loader}
    started = [x for x in loaders if (x.disk, x.partition, x.path.lower()) in named]
    return started or [x for x in loaders if x.is_fallback]


def _names(signers: Sequence[Signer]) -> str:
    return ", ".join(signer.name for signer in signers) or "nobody"

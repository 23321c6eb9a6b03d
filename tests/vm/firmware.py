"""Firmware of virtual PCs: where Debian 12/13 and Ubuntu 24.04 keep it, what QEMU is told about it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from castcore.errors import MissingProgram

FOLDERS = (Path("/usr/share/OVMF"), Path("/usr/share/ovmf"), Path("/usr/share/edk2/x64"))


class Firmware(StrEnum):
    """What a virtual PC starts with."""

    UEFI_SECURE = "uefi-sb"  # Microsoft's keys enrolled, Secure Boot enforced
    UEFI = "uefi"
    BIOS = "bios"

    @property
    def is_uefi(self) -> bool:
        """Whether the PC speaks UEFI at all."""
        return self is not Firmware.BIOS


@dataclass(frozen=True)
class _Flash:
    code: str
    variables: str


_FLASH = {
    Firmware.UEFI_SECURE: _Flash("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
    Firmware.UEFI: _Flash("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
}
# The disk is a virtio one: a SATA controller is only one more thing that firmware and kernels look at.
_BOARD = "q35,sata=off"


@dataclass(frozen=True)
class NetworkBoot:
    """Which entries OVMF makes for a network card (fw_cfg of QEMU; a BIOS knows nothing of it).

    Without a router PXE over IPv6 only waits for a minute; the LAN of the lab has IPv4.
    """

    pxe: bool = True
    ipv6: bool = False

    def arguments(self) -> list[str]:
        """QEMU's arguments that switch off what is not wanted."""
        off = {
            "IPv4PXESupport": not self.pxe,
            "IPv6PXESupport": not (self.pxe and self.ipv6),
            "IPv6Support": not self.ipv6,
        }
        names = [name for name, is_off in off.items() if is_off]
        return [word for n in names for word in ("-fw_cfg", f"name=opt/org.tianocore/{n},string=n")]


USUAL = NetworkBoot()


def arguments(firmware: Firmware, own_variables: Path, boot: NetworkBoot = USUAL) -> list[str]:
    """QEMU's arguments for ``firmware``; ``own_variables`` becomes this PC's UEFI variable store.

    Raises MissingProgram naming the package.
    """
    if firmware is Firmware.BIOS:
        return ["-machine", _BOARD]
    flash = _FLASH[firmware]
    if not own_variables.exists():
        shutil.copyfile(_find(flash.variables), own_variables)
    secure = firmware is Firmware.UEFI_SECURE
    result = ["-machine", f"{_BOARD},smm={'on' if secure else 'off'}"]
    if secure:
        # Only code in system management mode may write the variable store: what "enforced" rests on.
        result += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    result += boot.arguments()
    return [
        *result,
        "-drive",
        f"if=pflash,unit=0,format=raw,readonly=on,file={_find(flash.code)}",
        "-drive",
        f"if=pflash,unit=1,format=raw,file={own_variables}",
    ]


def _find(name: str) -> Path:
    for folder in FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise MissingProgram(f"UEFI firmware {name} is not installed", hint="install the package ovmf")

"""A local disk that says one line on the serial console when it is booted, and powers its PC off.

Seconds instead of a whole Linux. BIOS: a boot sector. UEFI: the distribution's signed shim and GRUB,
as on a real disk, so that Secure Boot has something to check.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from castcore.edge import run
from castcore.units import MIB

BOOTED = re.compile(r"FLEETCAST LAB: the local disk booted by (BIOS|UEFI)")
_SIZE = 64 * MIB
_ESP_START = 1 * MIB
_ESP_SIZE = 62 * MIB
_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_TEXT = "FLEETCAST LAB: the local disk booted by {}"
# 16-bit x86 at 0x7c00: each character of the text by INT 14h to the first serial port, then power off
# by APM (INT 15h, 5307h).
_CODE = bytes.fromhex(
    "31c0 8ed8 fc"  # ds = 0, forward
    "be237c"  # si = the text, behind this code
    "ac 84c0 7408"  # next: al = one character; zero: off
    "b401 31d2 cd14 ebf3"  # send it to port 0; next
    "b80753 bb0100 b90300 cd15"  # off: all devices off
    "f4 ebfd"  # wait for ever
)
_GRUB = f'set timeout=0\necho "{_TEXT.format("UEFI")}"\nhalt\n'
_SECONDS = 60.0


def local_disk(path: Path, shim: Path, grub: Path) -> Path:
    """Make the disk as a raw file, with the signed ``shim`` and ``grub`` for UEFI."""
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, _SIZE)
    table = f"label: gpt\nstart={_ESP_START // 512}, size={_ESP_SIZE // 512}, type={_TYPE}\n"
    run.run(["sfdisk", "--quiet", str(path)], data=table.encode(), timeout=_SECONDS)
    offset = str(_ESP_START // 512)
    make = ["mkfs.fat", "--offset", offset, "-h", offset, str(path), str(_ESP_SIZE // 1024)]
    run.run(make, timeout=_SECONDS)
    esp = f"{path}@@{_ESP_START}"
    run.run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::grub"], timeout=_SECONDS)
    for name, source in {"BOOTX64.EFI": shim, "grubx64.efi": grub}.items():
        run.run(["mcopy", "-i", esp, str(source), f"::EFI/BOOT/{name}"], timeout=_SECONDS)
    run.run(["mcopy", "-i", esp, "-", "::grub/grub.cfg"], data=_GRUB.encode(), timeout=_SECONDS)
    with path.open("r+b") as file:
        # The rest of the sector is the protective MBR's table.
        file.write(_CODE + f"\r\n{_TEXT.format('BIOS')}\r\n".encode() + b"\0")
    return path

"""Who this machine is: DMI (SMBIOS) as the kernel shows it, firmware type, memory. Read-only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from castcore.control import Machine

# The EFI global variable namespace (UEFI specification 3.3) holds SecureBoot.
_SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# What board makers ship when nobody filled the field in.
_PLACEHOLDERS = re.compile(
    r"(to be filled by o\.?e\.?m\.?|default string|system (serial number|product name|manufacturer)"
    r"|not (specified|applicable|available)|none|n/?a|unknown|oem|0+|[x*.-]+|123456789\d*)",
    re.IGNORECASE,
)
# AMI's sample UUID, met on boards of several makers.
_SAMPLE_UUID = "03000200-0400-0500-0006-000700080009"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def machine(sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> Machine:
    """The facts of the machine this runs on; a field nobody filled in is ""."""
    dmi = sys / "class/dmi/id"
    uefi = (sys / "firmware/efi").is_dir()
    return Machine(
        uuid=clean_uuid(_text(dmi / "product_uuid")),
        vendor=clean(_text(dmi / "sys_vendor")),
        product=clean(_text(dmi / "product_name")),
        serial=clean(_text(dmi / "product_serial")),
        board_serial=clean(_text(dmi / "board_serial")),
        firmware="uefi" if uefi else "bios",
        secure_boot=uefi and _secure_boot(sys / _SECURE_BOOT),
        memory=_memory(_text(proc / "meminfo")),
        cpus=os.cpu_count() or 0,
    )


def clean(text: str) -> str:
    """``text`` without control characters; "" for a board maker's placeholder."""
    shown = "".join(c for c in text if c.isprintable()).strip()
    return "" if _PLACEHOLDERS.fullmatch(shown) else shown


def clean_uuid(text: str) -> str:
    """``text`` as a UUID in lower case; "" when it is none or names no single machine."""
    uuid = text.strip().lower()
    sample = len(set(uuid.replace("-", ""))) < 2 or uuid == _SAMPLE_UUID
    return uuid if _UUID.fullmatch(uuid) and not sample else ""


def _secure_boot(variable: Path) -> bool:
    # Four bytes of attributes, then the value: 1 means the firmware enforces signatures.
    try:
        return variable.read_bytes()[4:5] == b"\x01"
    except OSError:
        return False


def _memory(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

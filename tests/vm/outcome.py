"""What a lab run showed, per PC: as the table people read and as ``result.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.vm.firmware import Firmware
from tests.vm.sample import Sample
from tests.vm.watch import Watched

_MB = 1_000_000
_HEADINGS = (
    "PC",
    "firmware",
    "client ready",
    "multicast",
    "unicast",
    "repaired",
    "write rate",
    "booted",
)
# What a DHCP server says when it wants to send a machine to a boot server (RFC 2132, 9.4 and 9.5).
_BOOT_OPTIONS = {"tftp_server_name", "boot-file-name", "TFTP_server_name", "bootfile_name"}


@dataclass(frozen=True)
class MachineOutcome:
    """One PC: bytes by each way, and what it booted afterwards ("" when nothing of ours)."""

    name: str
    firmware: str
    secure_boot: bool
    client_ready_s: float | None
    multicast_bytes: int
    unicast_bytes: int
    repaired_bytes: int
    written_bytes: int
    seconds: int
    root: str
    booted: str
    ok: bool


def machine_outcome(watched: Watched, sample: Sample, cast_root: str) -> MachineOutcome:
    """What is known of one PC after the run; ``ok`` when it proved the cast and booted exactly that."""
    pc, report, line = watched.running.pc, watched.report, watched.booted
    booted = f"{line['host']} {line['root']}" if line else ""
    secure = line["secureboot"] == "yes" if line else False
    return MachineOutcome(
        name=pc.name,
        firmware="UEFI" if pc.firmware.is_uefi else "BIOS",
        secure_boot=secure,
        client_ready_s=watched.client_ready_s,
        multicast_bytes=report.get("multicast", 0),
        unicast_bytes=report.get("unicast", 0),
        repaired_bytes=report.get("repaired", 0),
        written_bytes=report.get("written", 0),
        seconds=report.get("seconds", 0),
        root=report.get("root", ""),
        booted=booted,
        ok=line is not None
        and report.get("root") == cast_root
        and (line["host"], line["root"]) == (sample.host, sample.root_uuid)
        and line["machine"].lower() == pc.uuid
        and line["swap"] == "on"
        and line["firmware"] == ("uefi" if pc.firmware.is_uefi else "bios")
        and secure == (pc.firmware is Firmware.UEFI_SECURE),
    )


def boots_nobody(offer: dict[str, Any]) -> bool:
    """Whether a site's DHCP ``offer`` is there and has nothing in it about booting."""
    if not offer or _BOOT_OPTIONS & set(offer["options"]):
        return False
    return (
        offer["next_server"] in ("0.0.0.0", "") and not offer["boot_file"] and not offer["server_name"]
    )


def site_line(offer: dict[str, Any]) -> str:
    """What the site's DHCP server offered, for people."""
    if not offer:
        return "The site's DHCP server was never asked"
    boot = offer["boot_file"] or "none"
    return (
        f"The site's DHCP server {offer['server']} offered {offer['address']},"
        f" next-server {offer['next_server']}, boot file {boot}"
    )


def table(machines: Iterable[MachineOutcome]) -> str:
    """The outcome as aligned columns."""
    rows: list[Sequence[str]] = [_HEADINGS]
    rows += [_row(m) for m in machines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(machine: MachineOutcome) -> tuple[str, ...]:
    firmware = machine.firmware + (" + Secure Boot" if machine.secure_boot else "")
    ready = f"{machine.client_ready_s:.0f} s" if machine.client_ready_s is not None else "never"
    rate = f"{machine.written_bytes / machine.seconds / _MB:.0f} MB/s" if machine.seconds else "-"
    return (
        machine.name,
        firmware,
        ready,
        f"{machine.multicast_bytes / _MB:.1f} MB",
        f"{machine.unicast_bytes / _MB:.1f} MB",
        f"{machine.repaired_bytes / _MB:.1f} MB",
        rate,
        machine.booted or "NOT what was cast",
    )


def write_result(
    path: Path, *, ok: bool, machines: Sequence[MachineOutcome], facts: dict[str, Any]
) -> None:
    """Write ``result.json``: ``ok``, one entry a machine, and ``facts``."""
    value = {"ok": ok, "machines": [asdict(m) for m in machines], **facts}
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

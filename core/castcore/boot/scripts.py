"""The texts that loaders run: GRUB's configuration and iPXE's scripts."""

from __future__ import annotations

import re

from castcore.boot import bootnames
from castcore.boot.bootclient import BootPlace
from castcore.errors import Refused

# What neither GRUB, iPXE nor the kernel gives a meaning of its own.
_PLAIN = re.compile(r"[A-Za-z0-9 ._,:;=/@%+*()\[\]~^!?-]*")
_GRUB_MEANS = ";"
# The trust archive first: Linux's EFI stub (reached from iPXE) puts the files together without padding,
# and an archive that does not start on a 4-byte boundary is not unpacked. Ours is whole sectors long.
INITRDS = (bootnames.TRUST, bootnames.INITRD)
ATTEMPTS = 3
PAUSE_SECONDS = 5


def checked_arguments(text: str) -> str:
    """``text`` if it can stand on the kernel's command line as it is, in both loaders' scripts.

    Raises Refused for quotes, ``$``, ``;``, ``|``, ``&``, backslashes, line ends and the like.
    """
    if not _PLAIN.fullmatch(text) or _GRUB_MEANS in text:
        raise Refused(
            f"the extra kernel arguments {text!r} hold a character that boot loaders interpret",
            hint="use letters, digits, spaces and . _ , : = / @ % + - only",
        )
    return " ".join(text.split())


def grub_config(place: BootPlace, server_url: str, extra: str = "") -> str:
    """GRUB 2.12's configuration; the same for every machine, each puts in its own MAC.

    After a failed attempt GRUB pauses and tries again, then gives the machine back to its firmware.
    """
    base = f"(http,{place.address}:{place.http_port})"
    arguments = _arguments(server_url, "$net_default_mac", extra)
    files = " ".join(f"{base}/{name}" for name in INITRDS)
    load = [
        f"  if linux {base}/{bootnames.KERNEL} {arguments}; then",
        f"    if initrd {files}; then boot; fi",
        "  fi",
        f'  echo "Fleetcast: {place.address} did not give the boot files; trying again."',
        f"  sleep {PAUSE_SECONDS}",
    ]
    tries = " ".join(str(n + 1) for n in range(ATTEMPTS))
    lines = [
        "# Made by Fleetcast for each request.",
        "set timeout=0",
        'echo "Fleetcast: loading the client ..."',
        f"for attempt in {tries}; do",
        *load,
        "done",
        'echo "Fleetcast: giving up, back to the firmware."',
        "exit",
    ]
    return "\n".join(lines) + "\n"


def ipxe_script(place: BootPlace, server_url: str, extra: str = "") -> str:
    """The script that boots the client from iPXE, on BIOS and on UEFI.

    ``initrd=`` names both files for the EFI kernel, which looks them up itself; on BIOS iPXE hands
    them over.
    """
    # netX is the interface that was opened last: the one this script came through.
    arguments = _arguments(server_url, "${netX/mac}", extra)
    names = " ".join(f"initrd={name.rpartition('/')[2]}" for name in INITRDS)
    lines = [
        "#!ipxe",
        "echo Fleetcast: loading the client ...",
        "set attempt:int32 0",
        ":again",
        "imgfree",
        f"kernel {place.url(bootnames.KERNEL)} {names} {arguments} || goto failed",
        *(f"initrd {place.url(name)} || goto failed" for name in INITRDS),
        "boot || goto failed",
        ":failed",
        f"echo Fleetcast: {place.address} did not give the boot files, or this firmware refused them.",
        f"sleep {PAUSE_SECONDS}",
        "inc attempt",
        f"iseq ${{attempt}} {ATTEMPTS} || goto again",
        "exit 1",
    ]
    return "\n".join(lines) + "\n"


def local_script() -> str:
    """The script that ends iPXE at once, so that the machine goes to its next boot device.

    Status 1: on UEFI a boot program that returns success makes firmware stop in its boot menu.
    """
    return "#!ipxe\necho Fleetcast: booting from the local disk.\nexit 1\n"


def _arguments(server_url: str, mac: str, extra: str) -> str:
    parts = [f"fleetcast.server={server_url}", f"fleetcast.bootif={mac}", checked_arguments(extra)]
    return " ".join(part for part in parts if part)

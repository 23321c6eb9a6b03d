"""The texts that loaders run: GRUB's configuration and iPXE's scripts.

Loaders first get a text that is the same for every machine. It asks for the machine's own, which is
made when it is asked for, and holds the hashes of the files to load.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from castcore.boot import bootnames
from castcore.boot.bootclient import BootPlace
from castcore.boot.bootimage import BootImage
from castcore.boot.bootnames import MachineFile
from castcore.errors import Refused

# What neither GRUB, iPXE nor the kernel gives a meaning of its own.
_PLAIN = re.compile(r"[A-Za-z0-9 ._,:;=/@%+*()\[\]~^!?-]*")
_GRUB_MEANS = ";"
ATTEMPTS = 3
PAUSE_SECONDS = 5
# A machine that gets no files shall try for ever, but not hammer.
RESTART_SECONDS = 60


@dataclass(frozen=True)
class ClientBoot:
    """What it takes to boot our client: where its files are, and what its kernel is told.

    The trust archive is the first of ``initrds``: Linux's EFI stub (reached from iPXE) puts the files
    together without padding, and an archive that does not start on a 4-byte boundary is not unpacked.
    Ours is whole sectors long. ``arm64``: the same for ARM64 machines, if there is anything for them.
    """

    place: BootPlace
    kernel: str
    initrds: tuple[str, ...]
    server_url: str
    extra: str = ""
    arm64: ClientBoot | None = None

    def arguments(self, mac: str) -> str:
        """The kernel's command line on the machine with ``mac``. Raises Refused."""
        parts = [f"fleetcast.server={self.server_url}", f"fleetcast.bootif={mac}"]
        return " ".join(part for part in (*parts, checked_arguments(self.extra)) if part)


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


def grub_entry(place: BootPlace) -> str:
    """GRUB 2.12's first configuration, the same for every machine: it asks for the machine's own.

    After a failed attempt GRUB pauses and tries again, then starts the machine anew. It never exits: its
    ``exit`` returns success, whereupon UEFI firmware waits in its boot menu for somebody.
    """
    own = f"{_grub_device(place)}/{bootnames.MACHINE}/$net_default_mac/$machine/{MachineFile.GRUB}"
    tries = " ".join(str(n + 1) for n in range(ATTEMPTS))
    lines = [
        "# Made by Fleetcast.",
        "set timeout=0",
        # SMBIOS's UUID; a GRUB without the module leaves it out, and the server goes by the MAC.
        "smbios --type 1 --get-uuid 8 --set machine",
        f"for attempt in {tries}; do",
        f"  source {own}",
        f'  echo "Fleetcast: {place.address} did not give the boot files; trying again."',
        f"  sleep {PAUSE_SECONDS}",
        "done",
        f'echo "Fleetcast: starting the machine again in {RESTART_SECONDS} s."',
        f"sleep {RESTART_SECONDS}",
        "reboot",
    ]
    return "\n".join(lines) + "\n"


def grub_client(boot: ClientBoot, mac: str) -> str:
    """The configuration of the machine with ``mac``: one attempt to boot our client."""
    load = _grub_load(boot, mac)
    if boot.arm64 is not None:
        arm64 = _grub_load(boot.arm64, mac)
        load = ['if [ "$grub_cpu" = "arm64" ]; then', *arm64, "else", *load, "fi"]
    lines = ["# Made by Fleetcast for this machine.", 'echo "Fleetcast: loading the client ..."', *load]
    return "\n".join(lines) + "\n"


def _grub_load(boot: ClientBoot, mac: str) -> list[str]:
    base = _grub_device(boot.place)
    files = " ".join(f"{base}/{name}" for name in boot.initrds)
    return [
        f"if linux {base}/{boot.kernel} {boot.arguments(mac)}; then",
        f"  if initrd {files}; then boot; fi",
        "fi",
    ]


def grub_local() -> str:
    """The configuration of a machine that shall not boot our client after all.

    It starts anew, and is sent where it shall go by DHCP. See `grub_entry` on why GRUB never exits.
    """
    return 'echo "Fleetcast: this machine boots its own disk; starting it again."\nreboot\n'


def ipxe_entry(place: BootPlace) -> str:
    """iPXE's first script, the same for every machine: it asks for the machine's own."""
    own = f"{bootnames.MACHINE}/${{netX/mac:hexhyp}}/${{uuid}}/${{platform}}.ipxe"
    # netX is the interface that was opened last: the one this script came through.
    return _ipxe(place, [f"chain --replace {place.url(own)} || goto failed"])


def ipxe_client(boot: ClientBoot, mac: str) -> str:
    """The script that boots our client on the machine with ``mac``, by BIOS and by UEFI.

    ``initrd=`` names both files for the EFI kernel, which looks them up itself; on BIOS iPXE hands
    them over.
    """
    names = " ".join(f"initrd={name.rpartition('/')[2]}" for name in boot.initrds)
    lines = [
        "echo Fleetcast: loading the client ...",
        "imgfree",
        f"kernel {boot.place.url(boot.kernel)} {names} {boot.arguments(mac)} || goto failed",
        *(f"initrd {boot.place.url(name)} || goto failed" for name in boot.initrds),
        "boot || goto failed",
    ]
    return _ipxe(boot.place, lines)


def ipxe_image(place: BootPlace, order: str, image: BootImage) -> str:
    """The script that boots ``image`` as a disk that iPXE reads over HTTP."""
    url = place.url(bootnames.once_name(order, image.name))
    lines = [
        f"echo Fleetcast: booting {image.name}, this once ...",
        f"sanboot --no-describe --drive {image.form.bios_drive:#04x} {url} || goto failed",
    ]
    return _ipxe(place, lines)


def local_script() -> str:
    """The script that ends iPXE at once, so that the machine goes to its next boot device.

    Status 1: on UEFI a boot program that returns success makes firmware stop in its boot menu.
    """
    return "#!ipxe\necho Fleetcast: booting from the local disk.\nexit 1\n"


def _ipxe(place: BootPlace, attempt: list[str]) -> str:
    """A script of the lines ``attempt``, which go to ``failed`` and are tried ``ATTEMPTS`` times."""
    lines = [
        "#!ipxe",
        "set attempt:int32 0",
        ":again",
        *attempt,
        ":failed",
        f"echo Fleetcast: {place.address} did not give the boot files, or this firmware refused them.",
        f"sleep {PAUSE_SECONDS}",
        "inc attempt",
        f"iseq ${{attempt}} {ATTEMPTS} || goto again",
        "exit 1",
    ]
    return "\n".join(lines) + "\n"


def _grub_device(place: BootPlace) -> str:
    return f"(http,{place.address}:{place.http_port})"

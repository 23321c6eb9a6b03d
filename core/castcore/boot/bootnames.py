"""The closed set of names under which boot files are asked for, over TFTP and HTTP.

shim asks for its second stage beside itself, GRUB for ``/grub/grub.cfg`` (the prefix built into the
signed network GRUB), so these names are the loaders' choice as much as ours. What is large goes by
its hash (``by_hash``); what a machine gets for itself, by its MAC (``MachineName``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

SHIM = "shimx64.efi"
GRUB = "grubx64.efi"
UNDIONLY = "undionly.kpxe"
GRUB_CONFIG = "grub/grub.cfg"

SHIM_ARM64 = "shimaa64.efi"
GRUB_ARM64 = "grubaa64.efi"

KERNEL = "boot/vmlinuz"
INITRD = "boot/initrd.img"
TRUST = "boot/trust.cpio"
SETTINGS = "boot/settings.cpio"
HTTP_SHIM = f"boot/{SHIM}"
HTTP_GRUB = f"boot/{GRUB}"
KERNEL_ARM64 = "boot/arm64/vmlinuz"
INITRD_ARM64 = "boot/arm64/initrd.img"
HTTP_SHIM_ARM64 = f"boot/{SHIM_ARM64}"
IPXE_SCRIPT = "boot/boot.ipxe"
LOCAL_SCRIPT = "boot/local.ipxe"
# Never a file: asked for by a UEFI HTTP boot that must end at once.
NOTHING = "boot/nothing"

HASHED = "boot/files"
MACHINE = "boot/machine"
ONCE = "boot/once"

# Role in tree.json -> the names it is served under.
TFTP_ROLES = {"shim": SHIM, "grub": GRUB, "ipxe": UNDIONLY}
HTTP_ROLES = {"kernel": KERNEL, "initrd": INITRD, "shim": HTTP_SHIM, "grub": HTTP_GRUB}
# Of a tree that was built with settings, for all its machines.
HTTP_ROLES_OPTIONAL = {"settings": SETTINGS}
# Of a tree that boots ARM64 machines too: all of these, or none.
TFTP_ROLES_ARM64 = {"shim-arm64": SHIM_ARM64, "grub-arm64": GRUB_ARM64}
HTTP_ROLES_ARM64 = {
    "kernel-arm64": KERNEL_ARM64,
    "initrd-arm64": INITRD_ARM64,
    "shim-arm64": HTTP_SHIM_ARM64,
    "grub-arm64": f"boot/{GRUB_ARM64}",
}
LONGEST_NAME = 255

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ORDER = re.compile(r"[0-9a-f]{16,64}")


def canonical(name: str) -> str:
    """The form in which a client's ``name`` is looked up.

    Firmware and loaders ask for ``/x``, ``//x``, ``boot//x`` (shim) or ``\\x`` alike. The result is
    only ever a key of a closed map, or parsed into values that are; nothing in it can reach outside.
    """
    return "/".join(part for part in name[:LONGEST_NAME].replace("\\", "/").split("/") if part)


def by_hash(name: str, digest: str) -> str:
    """The name of the file ``name`` with that content: iPXE goes by its last part."""
    return f"{HASHED}/{digest}/{name.rpartition('/')[2]}"


def is_by_hash(name: str) -> bool:
    """Whether the canonical ``name`` is of the kind that `by_hash` makes."""
    return name.startswith(f"{HASHED}/")


def is_kernel(name: str) -> bool:
    """Whether the canonical ``name`` is the kernel's, under whatever hash."""
    kernel = KERNEL.rpartition("/")[2]
    return name in (KERNEL, KERNEL_ARM64) or (is_by_hash(name) and name.endswith(f"/{kernel}"))


def shown(name: str) -> str:
    """How the canonical ``name`` is told to people: without hashes, MACs and orders."""
    long = name.startswith((f"{HASHED}/", f"{MACHINE}/", f"{ONCE}/"))
    return name.rpartition("/")[2] if long else name


class MachineFile(StrEnum):
    """What is made for one machine when it asks for it."""

    GRUB = "grub.cfg"
    IPXE_BIOS = "pcbios.ipxe"
    IPXE_UEFI = "efi.ipxe"
    IMAGE = "image"


@dataclass(frozen=True)
class MachineName:
    """A machine's own file; ``mac`` is in lower case with colons, ``uuid`` "" when it did not say."""

    mac: str
    uuid: str
    file: MachineFile

    def __str__(self) -> str:
        """The name to ask for; hyphens, because not every firmware reads colons in a URL's path."""
        mac = self.mac.replace(":", "-")
        return "/".join(filter(None, (MACHINE, mac, self.uuid, self.file.value)))


def machine_name(name: str) -> MachineName | None:
    """The machine's file that the canonical ``name`` asks for; None when it is none, or malformed."""
    if not name.startswith(f"{MACHINE}/"):
        return None
    parts = name.removeprefix(f"{MACHINE}/").split("/")
    if len(parts) not in (2, 3):
        return None
    mac, uuid, last = parts[0], parts[1] if len(parts) == 3 else "", parts[-1]
    if not _MAC.fullmatch(mac) or not (uuid == "" or _UUID.fullmatch(uuid)):
        return None
    if last not in set(MachineFile):
        return None
    return MachineName(mac.lower().replace("-", ":"), uuid.lower(), MachineFile(last))


def is_ordered_image(name: str) -> bool:
    """Whether the canonical ``name`` is that of an image which one machine was ordered to boot."""
    machine = machine_name(name)
    return name.startswith(f"{ONCE}/") or (machine is not None and machine.file is MachineFile.IMAGE)


def once_name(order: str, image: str) -> str:
    """The name of ``image`` for the machine that ``order`` is for, for as long as it runs from it."""
    return f"{ONCE}/{order}/{image}"


def order_of(name: str) -> str:
    """The order whose image the canonical ``name`` asks for; "" when it is none, or malformed."""
    if not name.startswith(f"{ONCE}/"):
        return ""
    order = name.removeprefix(f"{ONCE}/").partition("/")[0]
    return order if _ORDER.fullmatch(order) else ""

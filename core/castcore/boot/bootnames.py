"""The closed set of names under which boot files are asked for, over TFTP and HTTP.

shim asks for its second stage beside itself, GRUB for ``/grub/grub.cfg`` (the prefix built into the
signed network GRUB), so these names are the loaders' choice as much as ours.
"""

from __future__ import annotations

SHIM = "shimx64.efi"
GRUB = "grubx64.efi"
UNDIONLY = "undionly.kpxe"
GRUB_CONFIG = "grub/grub.cfg"

KERNEL = "boot/vmlinuz"
INITRD = "boot/initrd.img"
TRUST = "boot/trust.cpio"
HTTP_SHIM = f"boot/{SHIM}"
HTTP_GRUB = f"boot/{GRUB}"
IPXE_SCRIPT = "boot/boot.ipxe"
LOCAL_SCRIPT = "boot/local.ipxe"
# Never a file: asked for by a UEFI HTTP boot that must end at once.
NOTHING = "boot/nothing"

# Role in tree.json -> the names it is served under.
TFTP_ROLES = {"shim": SHIM, "grub": GRUB, "ipxe": UNDIONLY}
HTTP_ROLES = {"kernel": KERNEL, "initrd": INITRD, "shim": HTTP_SHIM, "grub": HTTP_GRUB}
LONGEST_NAME = 255


def canonical(name: str) -> str:
    """The form in which a client's ``name`` is looked up.

    Firmware and loaders ask for ``/x``, ``//x``, ``boot//x`` (shim) or ``\\x`` alike. The result is
    only ever a key of a closed map, so nothing in it can reach outside.
    """
    return "/".join(part for part in name[:LONGEST_NAME].replace("\\", "/").split("/") if part)

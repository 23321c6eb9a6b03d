"""The root file system of the sample system: Debian 13 from packages, as an administrator sets it up.

At boot a service prints one line on the serial console, read from the running system, so that a
test sees *what* booted: :data:`BOOTED` matches it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castmedia.mirror import KEYRING

SUITE = "trixie"
HOST_NAME = "fleetcast-sample"
PACKAGES = (
    "linux-image-cloud-amd64",  # signed; the small kernel for virtual PCs
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "udev",
    "shim-signed",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "grub-common",
    "util-linux",
    "e2fsprogs",
    "iproute2",
    "procps",
    "kmod",
)
# With what follows the line: a console is read while it is being written.
BOOTED = re.compile(
    r"FLEETCAST-SAMPLE host=(?P<host>\S+) root=(?P<root>\S+) machine=(?P<machine>\S+)"
    r" swap=(?P<swap>\S+) firmware=(?P<firmware>\S+) secureboot=(?P<secureboot>\S+)\s"
)

_REPORT = """\
#!/bin/sh
# Says on the serial console what was booted; every value is read from the running system.
set -u
root=$(findmnt --noheadings --output UUID /)
swap=off; [ "$(tail -n +2 /proc/swaps | wc -l)" -gt 0 ] && swap=on
firmware=bios; secureboot=no
if [ -d /sys/firmware/efi ]; then
    firmware=uefi
    state=$(od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-*)
    [ "$((state))" = 1 ] && secureboot=yes
fi
echo "FLEETCAST-SAMPLE host=$(cat /proc/sys/kernel/hostname) root=$root" \\
    "machine=$(cat /sys/class/dmi/id/product_uuid)" \\
    "swap=$swap firmware=$firmware secureboot=$secureboot"
"""
_SERVICE = """\
[Unit]
Description=Say on the serial console what was booted
After=local-fs.target swap.target
# A getty hangs up its line when it starts: what is being written there is lost.
Before=serial-getty@ttyS0.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/fleetcast-sample
StandardOutput=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
"""
# Emulated PCs are slow: units that neither need nor touch the restored disk are left out of the boot.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "grub-common.service",
    "getty-static.service",
    "systemd-binfmt.service",
    "kmod-static-nodes.service",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
)
# What the initramfs loads: the disk of a virtual PC and the root's file system, nothing else.
_INITRAMFS = {
    "etc/initramfs-tools/conf.d/sample": "MODULES=list",
    "usr/share/initramfs-tools/modules.d/sample": "virtio_pci virtio_blk ext4",
}


@dataclass(frozen=True)
class Uuids:
    """What the file systems of one sample are called; drawn anew at every build."""

    root: str
    esp: str
    swap: str


def build_root(folder: Path, uuids: Uuids, mirror: str | None, on_line: Callable[[str], None]) -> None:
    """Unpack and configure the sample system under ``folder``. Raises ProgramFailed."""
    run.run_lines(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--components=main",
            "--architectures=amd64",
            f"--keyring={KEYRING}",
            f"--include={','.join(PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")),
            *(f"--essential-hook={_put(name, text)}" for name, text in _INITRAMFS.items()),
            SUITE,
            str(folder),
            *([mirror] if mirror else []),
        ],
        on_line,
    )
    for name, text in _settings(uuids, _kernel_release(folder)).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "usr/local/sbin/fleetcast-sample").chmod(0o755)
    chroot = ["chroot", str(folder)]
    run.run([*chroot, "systemctl", "enable", "fleetcast-sample.service"], timeout=60)
    run.run([*chroot, "systemctl", "mask", *_MASKED], timeout=60)
    # As after an installed system's first boot: no caches to make anew (systemd-update-done(8)).
    run.run([*chroot, "/usr/lib/systemd/systemd-update-done"], timeout=60)


def _put(name: str, text: str) -> str:
    """A shell command of mmdebstrap that writes the words of ``text``, one a line, to ``name``."""
    return f'mkdir -p "$1/{Path(name).parent}" && printf "%s\\n" {text} > "$1/{name}"'


def _kernel_release(folder: Path) -> str:
    return next(folder.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")


def _settings(uuids: Uuids, release: str) -> dict[str, str]:
    """The files an installed system has besides its packages, by path below its root."""
    return {
        "etc/hostname": f"{HOST_NAME}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {HOST_NAME}\n",
        # Empty: each restored machine makes its own at its first boot (machine-id(5)).
        "etc/machine-id": "",
        "etc/fstab": f"UUID={uuids.root} / ext4 errors=remount-ro 0 1\n"
        f"UUID={uuids.esp} /boot/efi vfat umask=0077 0 0\n"
        f"UUID={uuids.swap} none swap sw 0 0\n",
        "boot/grub/grub.cfg": _grub_menu(uuids, release),
        "usr/local/sbin/fleetcast-sample": _REPORT,
        "etc/systemd/system/fleetcast-sample.service": _SERVICE,
    }


def _grub_menu(uuids: Uuids, release: str) -> str:
    # Security modules cost an emulated PC seconds (systemd loads BPF programs) and prove nothing here.
    command_line = f"root=UUID={uuids.root} ro console=ttyS0 quiet systemd.show_status=false"
    command_line += " lsm=capability"
    return (
        "serial --unit=0 --speed=115200\n"
        "terminal_output serial\n"
        "set timeout=0\n"
        'menuentry "Debian" {\n'
        f"  search --no-floppy --fs-uuid --set=root {uuids.root}\n"
        f"  linux /boot/vmlinuz-{release} {command_line}\n"
        f"  initrd /boot/initrd.img-{release}\n"
        "}\n"
    )


def efi_grub_stub(uuids: Uuids) -> str:
    """``EFI/debian/grub.cfg``: where the signed GRUB of the EFI system partition finds its menu."""
    return (
        f"search --no-floppy --fs-uuid --set=root {uuids.root}\n"
        "set prefix=($root)/boot/grub\n"
        "configfile $prefix/grub.cfg\n"
    )

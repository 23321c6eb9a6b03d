"""A program of this machine's own root, run in a virtual PC under Debian's kernel.

The PC has what this machine's kernel may lack (device mapper, RAID) and sees our root read-only (9p)
below a writable layer in memory: what it does to disks it does to its own loop devices.
"""

from __future__ import annotations

import lzma
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from castcore.edge import run
from castcore.errors import FleetcastError
from castmedia.bootroot import loaded_libraries
from castmedia.cache import StageCache
from castmedia.debianroot import kernel_version, make_debian_root
from castmedia.initramfs import write_initramfs
from castmedia.mirror import host_mirror

from tests.vm.machine import sata_arguments

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "trixie"
# Those built into the kernel (virtio_pci) are not named; the order is that of loading.
MODULES = (
    *("virtio_blk", "9p", "9pnet_virtio", "overlay", "loop", "ext4", "xfs"),
    *("dm-crypt", "dm-snapshot", "xts", "aesni-intel"),
)
BUSYBOX = "/bin/busybox"
MEMORY_MIB = 3072
ENDED = "FLEETCAST-GUEST ended with status "

_INIT = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod /mods/$module || echo "no module $module"; done </modules
mount -t tmpfs tmpfs /layer; mkdir -p /layer/upper /layer/work /layer/root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /layer/root
for folder in proc sys dev; do mount --move /$folder /layer/root/$folder; done
mount -t tmpfs tmpfs /layer/root/run
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
/bin/busybox chroot /layer/root /bin/sh -c "$(/bin/busybox cat /command)"
echo "{ended}$?"
/bin/busybox chroot /layer/root /bin/sh -c 'echo o > /proc/sysrq-trigger'
/bin/busybox sleep 60
"""


def guest_root(cache: Path) -> Path:
    """Debian's kernel and modules, unpacked once below ``cache``. Raises NetworkFailed."""
    packages = ["linux-image-amd64", "kmod", "bash", "xz-utils"]

    def make(folder: Path) -> None:
        make_debian_root(
            folder / "root", suite=SUITE, packages=packages, mirror=host_mirror(), on_line=lambda _: None
        )

    stages = StageCache(cache)
    with stages.locked(lambda: None):
        return stages.stage("guest", {"suite": SUITE, "packages": packages}, make) / "root"


def run_in_guest(
    debian: Path,
    folder: Path,
    command: Sequence[str],
    *,
    seconds: float,
    modules: Sequence[str] = (),
    disks: Sequence[Path] = (),
) -> str:
    """What ``command`` said on the console of a PC that starts for it.

    ``modules`` are loaded behind MODULES, each with its parameters ("scsi_debug dev_size_mb=64").
    ``disks`` are the files of its SATA disks. Raises FleetcastError when it failed, ProgramFailed when
    the PC did not end.
    """
    initrd = folder / "guest.initrd"
    _write_initrd(debian, folder / "guest", initrd, command, (*MODULES, *modules))
    (kernel,) = (debian / "boot").glob("vmlinuz-*")
    pc = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
    pc += ["-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    pc += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 quiet panic=-1"]
    pc += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    pc += ["-device", "virtio-rng-pci"]
    pc += sata_arguments(disks) if disks else []
    said = run.run(pc, timeout=seconds).decode(errors="replace")
    if f"{ENDED}0" not in said:
        raise FleetcastError(f"{shlex.join(command)} failed in the guest:\n{said[-4000:]}")
    return said


def our_python(module: str, *words: str) -> list[str]:
    """The command that runs ``module`` of this repository, with our packages, in a guest."""
    paths = [str(REPOSITORY / part) for part in ("core", "client", "server", "media-builder", ".")]
    environment = [f"PYTHONPATH={os.pathsep.join(paths)}", "PYTHONDONTWRITEBYTECODE=1"]
    return ["env", *environment, sys.executable, "-m", module, *words]


def _write_initrd(
    debian: Path, folder: Path, output: Path, command: Sequence[str], modules: Sequence[str]
) -> None:
    for name in ("bin", "mods", "proc", "sys", "dev", "host", "layer", "lib64", "etc"):
        (folder / name).mkdir(parents=True)
    listed = run.run(["/lib64/ld-linux-x86-64.so.2", "--list", BUSYBOX], timeout=10).decode()
    for path in (BUSYBOX, *loaded_libraries(listed, BUSYBOX)):
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
        target.chmod(0o755)
    lines = []
    for module, parameters in _modules(debian, modules).items():
        name = module.name.removesuffix(".xz")
        (folder / "mods" / name).write_bytes(lzma.decompress(module.read_bytes()))
        lines.append(f"{name} {parameters}\n")
    (folder / "modules").write_text("".join(lines))
    (folder / "command").write_text(shlex.join(command))
    init = folder / "init"
    init.write_text(_INIT.replace("{ended}", ENDED))
    init.chmod(0o755)
    write_initramfs(folder, output, progress=lambda _progress: None)


def _modules(debian: Path, modules: Sequence[str]) -> dict[Path, str]:
    """The files of ``modules``, with their parameters, and before each those that it needs."""
    found: dict[Path, str] = {}
    for line in modules:
        module, _, parameters = line.partition(" ")
        show = ["modprobe", "-d", str(debian), "-S", kernel_version(debian), "--show-depends", module]
        shown = run.run(show, timeout=30).decode().splitlines()
        # Behind a path stand the options of this machine's own modprobe.d: not the guest's.
        needed = [Path(words[1]) for words in map(str.split, shown) if words[:1] == ["insmod"]]
        found |= {path: "" for path in needed if path not in found}
        if parameters and needed:
            found[needed[-1]] = parameters
    return found

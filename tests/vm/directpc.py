"""A virtual PC whose kernel QEMU starts itself: the boot environment in seconds, with any devices.

What firmware and loaders would have put on the kernel command line is given as words; what a person
would type on the serial console is typed.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run

from tests.vm import qmp
from tests.vm.boottree import accel, tree
from tests.vm.serial import SerialLog

MEMORY_MIB = 1024
_BLOCK = 512
_UP = re.compile(r"fleetcast: state=\S+ up=([\d.]+)")


@dataclass
class DirectPC:
    """A running PC: its console, which can be typed on, and its control socket."""

    process: subprocess.Popen[bytes]
    serial: SerialLog
    control: Path
    _at: int = 0  # what was said before the last line was typed

    def answer(self, page: str, line: str, timeout: float) -> None:
        """Wait until the local dialogue asks on ``page``, and type ``line`` and Enter."""
        self.wait(rf"fleetcast: local={page} (?:.*\n)*?.* > ", timeout, self._at)
        self.type(line)

    def said(self, pattern: str, timeout: float) -> re.Match[str]:
        """What the console says of ``pattern`` after the last line that was typed."""
        return self.wait(pattern, timeout, self._at)

    def type(self, line: str) -> None:
        """Type ``line`` and Enter on the serial console."""
        self._at = len(self.serial.text())
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\r".encode())
        self.process.stdin.flush()

    def press(self, word: str) -> None:
        """Press the keys of ``word`` (small letters) and Enter on the keyboard."""
        self._at = len(self.serial.text())
        for key in (*word, "ret"):
            qmp.execute(self.control, "send-key", keys=[{"type": "qcode", "data": key}])
            time.sleep(0.1)  # the key is let go

    def picture(self, path: Path) -> None:
        """Save what stands on its screen (PPM)."""
        qmp.execute(self.control, "screendump", filename=str(path))

    def set_link(self, device: str, *, up: bool) -> None:
        """Plug the cable of the network ``device`` in, or pull it."""
        qmp.execute(self.control, "set_link", name=device, up=up)

    def wait(self, pattern: str, timeout: float, start: int = 0) -> re.Match[str]:
        """What the console says of ``pattern`` within ``timeout`` seconds; a failed test if nothing."""
        found = self.serial.wait(re.compile(pattern), timeout, start)
        assert found, "\n".join([f"not said: {pattern}", *self.serial.tail(40)])
        return found

    def wait_off(self, timeout: float) -> bool:
        """Whether it powers itself off within ``timeout`` seconds."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self.serial.join()
        return True


@contextmanager
def direct_pc(
    folder: Path,
    words: Sequence[str] = (),
    devices: Sequence[str] = (),
    *,
    inside: Sequence[str] = (),
    memory: int = MEMORY_MIB,
    name: str = "pc",
    settings: bytes = b"",
) -> Iterator[DirectPC]:
    """A PC with ``devices`` (QEMU's arguments) whose kernel is given ``words``; off at the end.

    ``settings`` is a medium's archive of settings, loaded as one more initrd.
    """
    control = folder / f"{name}.qmp"
    control.unlink(missing_ok=True)
    boot = tree()
    command = ["qemu-system-x86_64", "-name", name, "-machine", "q35", "-accel", accel()]
    command += ["-cpu", "max,cx16=off" if accel() == "tcg" else "host", "-m", str(memory)]
    command += ["-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio"]
    command += ["-qmp", f"unix:{control.name},server=on,wait=off", "-device", "virtio-rng-pci"]
    command += ["-smbios", "type=1,manufacturer=Fleetcast Lab,product=Virtual PC,serial=PC0001"]
    initrd = boot / "initrd.img"
    if settings:
        initrd = folder / f"{name}.initrd"
        whole = (boot / "initrd.img").read_bytes()
        initrd.write_bytes(whole + bytes(-len(whole) % _BLOCK) + settings)
    command += ["-kernel", str(boot / "vmlinuz"), "-initrd", str(initrd)]
    command += ["-append", " ".join(["quiet console=tty0 console=ttyS0", *words]), *devices]
    with run.started([*inside, *command], cwd=folder, merged=True, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        serial = SerialLog(process.stdout, folder / f"{name}.serial.log")
        try:
            yield DirectPC(process, serial, control)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            serial.join()


def guest_time(pc: DirectPC, state: str, timeout: float) -> float:
    """Seconds of the guest's own clock at which the client said that it is in ``state``."""
    return float(pc.wait(rf"fleetcast: state={state} up=([\d.]+)", timeout)[1])


def wait_for_control(pc: DirectPC, timeout: float = 10.0) -> None:
    """Wait until the PC takes orders."""
    end = time.monotonic() + timeout
    while not pc.control.exists() and time.monotonic() < end:
        time.sleep(0.05)

"""The one ``grub.cfg`` of all boot media, for BIOS and UEFI, stick and CD. Pure.

GRUB starts it from the place it was itself started from. On an ISO that was copied to a stick that is
the small EFI partition inside, while the files lie on the whole disk. Nothing in it depends on what
is on the medium: the file system's UUID, which the client must know to leave its disk alone, is asked
for when it starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from castcore.boot import scripts

KERNEL = "/boot/vmlinuz"
INITRD = "/boot/initrd.img"
SETTINGS = "/boot/settings.cpio"
CONFIG = "/boot/grub/grub.cfg"
SECONDS = 3
# GRUB's 8250 driver has the ports that a BIOS calls COM1 to COM4.
_PORT = re.compile(r"ttyS([0-3])(?:,(\d+))?.*")
_USUAL_SPEED = "115200"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu: its title, and what the kernel is told beyond what all are."""

    title: str
    words: str = ""


CLIENT_ENTRIES = (
    Entry("Fleetcast client"),
    Entry("Fleetcast client, plain text screen", "nomodeset"),
)


def grub_config(
    entries: Sequence[Entry], *, serial: Sequence[str] = (), words: str = "", settings: bool = True
) -> str:
    """The configuration with ``entries``, the first being started by itself.

    ``serial`` are values of the kernel's ``console=``; ``words`` go to the kernel in all entries;
    ``settings``: whether the medium has a settings archive. Raises Refused for words that GRUB
    interprets.
    """
    words = scripts.checked_arguments(words)
    lines = ["# Made by Fleetcast.", *_find_files(), "probe --set=medium --fs-uuid $root"]
    lines += _terminal(serial)
    lines += [f"set timeout={SECONDS}", "set default=0"]
    common = " ".join([*(f"console={c}" for c in ("tty0", *serial) if serial), words]).split()
    for entry in entries:
        told = scripts.checked_arguments(" ".join([*common, *entry.words.split()]))
        lines += _entry(entry.title, told, settings=settings)
    lines += ['menuentry "Back to the firmware" {', "  exit", "}"]
    return "\n".join(lines) + "\n"


def _find_files() -> list[str]:
    return [
        f'if [ ! -e "($root){KERNEL}" ]; then',
        "  regexp --set=1:disk '^([^,]*),' \"$root\"",
        '  if [ -n "$disk" ]; then set root="$disk"; fi',
        "fi",
    ]


def _terminal(serial: Sequence[str]) -> list[str]:
    """The menu on the first serial port that is GRUB's too."""
    for console in serial:
        port = _PORT.fullmatch(console)
        if port:
            speed = port[2] or _USUAL_SPEED
            return [
                f"if serial --unit={port[1]} --speed={speed}; then",
                "  terminal_input console serial",
                "  terminal_output console serial",
                "fi",
            ]
    return []


def _entry(title: str, words: str, *, settings: bool) -> list[str]:
    initrds = f"{INITRD} {SETTINGS}" if settings else INITRD
    return [
        f'menuentry "{title}" {{',
        '  echo "Loading the Fleetcast client ..."',
        f"  linux {KERNEL} fleetcast.medium=$medium {words}".rstrip(),
        f"  initrd {initrds}",
        "}",
    ]

"""What every network boot of the tests starts from: the boot tree and the way PCs are emulated."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from castmedia.pxe import build
from castmedia.recipe import Profile
from castmedia.stages import Options

from tests.vm.machine import accelerator

BUILD = Path(__file__).resolve().parents[2] / "build"


@cache
def tree() -> Path:
    """The boot tree, built by the media builder (cached when nothing changed)."""
    output = BUILD / f"media-{Profile.VM}"
    build(output, Options(BUILD / "cache", Profile.VM))
    return output


@cache
def accel() -> str:
    """QEMU's accelerator for virtual PCs here."""
    return accelerator(tree() / "vmlinuz")

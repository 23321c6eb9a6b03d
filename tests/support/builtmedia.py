"""Deploy media by the real builder, from made-up boot files: minutes of building are left out."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from castcore.bootsettings import BootSettings
from castcore.progress import silent
from castmedia import deploymedia, pxe, tree
from castmedia.biosgrub import BiosGrub
from castmedia.bootpart import BootPart
from castmedia.deploydata import Contents
from castmedia.deploymedia import Builder, Wish
from castmedia.settingsoptions import Choices
from castmedia.stages import Options

CORE_SECTORS = 79


def boot_part(folder: Path, version: int) -> BootPart:
    """A boot part of a few MB whose every file and loader tells its ``version``."""
    mark = f"version {version} ".encode()
    core = bytearray((mark * 4000)[: CORE_SECTORS * 512])
    struct.pack_into("<QHH", core, 500, 1, CORE_SECTORS - 1, 0x820)
    hybrid = folder / "unused"
    hybrid.touch()
    files: dict[str, bytes | Path] = {
        "EFI/BOOT/BOOTX64.EFI": mark * 80_000,
        "EFI/BOOT/grubx64.efi": mark * 100_000,
        "boot/grub/grub.cfg": mark,
        "boot/vmlinuz": mark * 300_000,
        "boot/initrd.img": mark * 200_000,
        "boot/settings.cpio": mark * 10,
    }
    return BootPart(files, BiosGrub((mark * 60)[:512], hybrid, bytes(core), hybrid))


class MadeUpStages:
    """In place of the stages; ``version`` is that of all that comes from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 1

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            yield Path(name)

    def tree(self, output: Path, *_: object) -> dict[str, tree.TreeFile]:
        """The PXE tree."""
        kernel = self.folder / "kernel"
        kernel.write_bytes(f"kernel {self.version}".encode() * 50_000)
        return tree.write_tree(output, {"kernel": ("vmlinuz", kernel)})


@contextmanager
def made_up_stages(folder: Path) -> Iterator[MadeUpStages]:
    """The builder takes its boot part from here while the block runs."""
    stages = MadeUpStages(folder)

    @contextmanager
    def given(*_: object, **__: object) -> Iterator[MadeUpStages]:
        yield stages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploymedia, "stages", given)
        patch.setattr(deploymedia, "boot_part", lambda *_, **__: boot_part(folder, stages.version))
        patch.setattr(deploymedia, "check_host", lambda _: None)
        patch.setattr(pxe, "write", stages.tree)
        yield stages


def builder(contents: Contents | None = None, **wish: Any) -> Builder:
    """A builder for the made-up stages."""
    made = Wish(contents or Contents(), **wish)
    return Builder(Options(Path("unused")), Choices(BootSettings()), made, lambda _: None, silent)

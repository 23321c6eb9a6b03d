"""Builds a deploy medium: boot part, licence ledger, and data with images, licences and a PXE tree.

A new one gets its table, and of that the first sector, when all the rest is on it and proven. One that
exists keeps its images, its data and its ledger; boot part and PXE tree are made new.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import new_table
from castcore.edge.disk import probe
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.licence.ledgerfile import format_ledger
from castcore.edge.medium import FoundMedium, medium_at, open_medium
from castcore.edge.medium.finding import read_partitions, serial_of
from castcore.errors import NotFound, Refused
from castcore.medium import DataFileSystem, Layout, MediumInfo, MediumKind, least_size, plan_layout
from castcore.progress import ProgressCallback
from castcore.units import MIB

from castmedia import deployboot, deploydata, stick
from castmedia.bootpart import FAT_PROGRAMS, BootPart, boot_part
from castmedia.deploydata import Contents
from castmedia.grubconfig import Entry
from castmedia.output import check_file, require_room, whole_file
from castmedia.settingsoptions import Choices
from castmedia.stages import Options, Stages, check_host, stages
from castmedia.stick import Stick
from castmedia.stickpolicy import SECTOR

ENTRIES = (
    Entry("Capture or restore this machine", "fleetcast.mode=local"),
    Entry("Join a cast"),
    Entry("Capture or restore this machine, plain text screen", "fleetcast.mode=local nomodeset"),
)
# Beside the images: the PXE tree twice (an update makes the new one beside the old), and the file
# system's own.
BESIDE_IMAGES = 256 * MIB
OWN_SHARE = 32


@dataclass(frozen=True, slots=True)
class Wish:
    """What the medium shall be; ``name`` "" keeps the one it has, or gives it one."""

    contents: Contents
    name: str = ""
    filesystem: DataFileSystem = DataFileSystem.EXT4
    words: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """A finished medium: ``boot`` tells whether its boot part was written, ``images`` those copied.

    ``loaded`` are the bytes that a machine reads from it into memory.
    """

    path: str
    info: MediumInfo
    serial: str
    size: int
    loaded: int
    images: tuple[str, ...]
    new: bool = True
    boot: bool = True


def needed(contents: Contents) -> int:
    """Bytes of a disk that has room for a new medium with ``contents``."""
    data = contents.size + contents.size // OWN_SHARE + BESIDE_IMAGES
    return least_size(MediumKind.DEPLOY, data_size=data)


@dataclass(frozen=True)
class Builder:
    """Makes and updates media from the same stages.

    Its methods raise MissingProgram naming all that is missing, Refused, BadSettings, NotFound,
    NetworkFailed, InUse, DoesNotFit, NoSpace, DiskFailed, BadImage and run.ProgramFailed.
    """

    options: Options
    choices: Choices
    wish: Wish
    say: Callable[[str], None]
    progress: ProgressCallback

    def check(self) -> None:
        """Return when this host can build the medium."""
        check_host((*FAT_PROGRAMS, *deploydata.programs(self.wish.filesystem)))

    def file(self, output: Path, size: int | None) -> Built:
        """Make the image file ``output`` of ``size`` bytes, or update the medium that it is."""
        self.check()
        check_file(output)
        if output.exists():
            found = medium_at(output)
            if found is None:
                raise Refused(
                    f"{output} exists and is no deploy medium",
                    hint="remove it, or give another --output",
                )
            return self.update(Stick.of(probe.disk(output)), found)
        if size is None:
            raise Refused(f"{output} is new: how large shall it be?", hint="give its --size")
        plan_layout(size, SECTOR, MediumKind.DEPLOY)
        require_room(output, min(size, needed(self.wish.contents)))
        with self._stages() as made:
            part = self._part(made)
            with whole_file(output) as partial:
                with partial.open("wb") as file:
                    file.truncate(size)
                with BlockFile.open_target(partial) as disk:
                    info, images = self._write_new(disk, part, made)
            return Built(str(output), info, serial_of("", info.id), size, part.loaded_bytes, images)

    def stick(self, facts: Stick) -> Built:
        """Make the disk ``facts`` a new medium: all that is on it is lost."""
        plan_layout(facts.size, facts.sector_size, MediumKind.DEPLOY)
        with self._stages() as made:
            part = self._part(made)
            with stick.held(facts) as disk:
                info, images = self._write_new(disk, part, made)
        found = _again(facts.path)
        return Built(facts.path, info, found.serial, facts.size, part.loaded_bytes, images)

    def update(self, facts: Stick, found: FoundMedium) -> Built:
        """Bring the medium ``found``, on the disk ``facts``, up to date in place."""
        with self._stages() as made:
            part = self._part(made)
            boot = self._update_boot(facts, found, part, made)
            with open_medium(facts.path, writable=True) as opened:
                _require_same(opened.found, found)
                name = self.wish.name or opened.info.name
                info = MediumInfo(found.id, name)
                images = self._fill(facts.path, opened.root, info, made)
        size, loaded = facts.size, part.loaded_bytes
        return Built(facts.path, info, found.serial, size, loaded, images, new=False, boot=boot)

    def _stages(self) -> AbstractContextManager[Stages]:
        return stages(self.options, say=self.say, progress=self.progress)

    def _part(self, made: Stages) -> BootPart:
        part = boot_part(made, self.choices, ENTRIES, words=self.wish.words)
        deployboot.require_fits(part)
        return part

    def _write_new(
        self, disk: BlockFile, part: BootPart, made: Stages
    ) -> tuple[MediumInfo, tuple[str, ...]]:
        kind, filesystem = MediumKind.DEPLOY, self.wish.filesystem
        layout = plan_layout(disk.size, disk.sector_size, kind, filesystem=filesystem)
        assert layout.data is not None
        identity = str(uuid.uuid4())
        info = MediumInfo(identity, self.wish.name or f"Deploy medium {identity[:8]}")
        self.say(f"writing {disk.path}")
        stick.forget(disk)
        with deploydata.made_anew(disk.path, layout.data, filesystem) as root:
            images = self._fill(disk.path, root, info, made)
        _new_ledger(disk, layout)
        with made.scratch() as scratch:
            boot_code = deployboot.write_new(disk, layout, part, scratch, self.progress)
        _finish(disk, layout, identity, boot_code)
        return info, images

    def _fill(self, path: str, root: Path, info: MediumInfo, made: Stages) -> tuple[str, ...]:
        with deploydata.named_after(path, root):
            return deploydata.fill(root, info, self.wish.contents, made, self.choices, self.progress)

    def _update_boot(self, facts: Stick, found: FoundMedium, part: BootPart, made: Stages) -> bool:
        """Whether the boot part was another one, and is new now."""
        with stick.held(facts) as disk, made.scratch() as scratch:
            table = read_partitions(disk)
            layout = plan_layout(disk.size, disk.sector_size, MediumKind.DEPLOY)
            again = _again(facts.path)
            _require_same(again, found)
            _require_known(again, layout)
            mended = deployboot.mend_table(disk, table)
            if deployboot.is_current(disk, table, part, scratch):
                return mended
            self.say(f"writing the boot part of {disk.path}")
            deployboot.update(disk, layout, table, part, scratch, self.progress)
            return True


def _again(path: str) -> FoundMedium:
    found = medium_at(path)
    if found is None:
        raise NotFound(f"{path} is no deploy medium any more", hint="start again")
    return found


def _require_same(now: FoundMedium, found: FoundMedium) -> None:
    if now.id != found.id:
        raise Refused(f"{now.device} is another medium than a moment ago", hint="start again")


def _require_known(found: FoundMedium, layout: Layout) -> None:
    parts = found.parts
    known = parts.boot.extent in layout.boot_slots and parts.bios.extent == layout.bios
    if not known:
        raise Refused(
            f"{found.device} was divided by another Fleetcast: its boot part lies elsewhere",
            hint="update it with that one, or make it anew with --erase",
        )


def _new_ledger(disk: BlockFile, layout: Layout) -> None:
    place = layout.ledger
    assert place is not None
    disk.zero(place.start, place.length)
    disk.flush()
    format_ledger(Path(disk.path), place.start, place.length)


def _finish(disk: BlockFile, layout: Layout, identity: str, boot_code: bytes) -> None:
    uuids = [str(uuid.uuid4()) for _ in range(4)]
    writes = new_table(
        layout.partitions(uuids),
        size=disk.size,
        sector_size=disk.sector_size,
        uuid=identity,
        boot_code=boot_code,
    )
    deployboot.switch(disk, writes)

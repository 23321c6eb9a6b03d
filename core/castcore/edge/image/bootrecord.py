"""What a captured disk needs in a firmware's boot entries: recorded, given by the operator, or found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from castcore.disk import BootLoader, DiskLayout, Partition
from castcore.disk.bootentry import (
    BootEntry,
    Signer,
    efi_system_partitions,
    normal_loader,
    recorded,
)
from castcore.disk.fs.fatfiles import FatVolume, Read
from castcore.disk.loaders import found_entries, has_fallback, loaders
from castcore.disk.signatures import program_signers
from castcore.edge import efivars
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import BadImage, NotFound, Refused

T = TypeVar("T")
# Loaders have one or two MiB, unified kernel images some dozens.
_MOST_PROGRAM = 128 << 20
_MOST_PROGRAMS = 64


@dataclass(frozen=True, slots=True)
class GivenEntry:
    """An entry as the operator gives it: a name for people and the loader's path."""

    description: str
    loader: str


@dataclass(frozen=True, slots=True)
class CapturedDisk:
    """A disk while it is captured: what reads as it, its layout, whether this machine boots from it."""

    raw: Path
    layout: DiskLayout
    own: bool


def given_entry(text: str) -> GivenEntry:
    r"""The entry that ``NAME=\EFI\...\LOADER.EFI`` gives. Raises Refused."""
    description, equals, loader = text.partition("=")
    if not equals or not description.strip() or not loader.strip("\\/"):
        raise Refused(
            f"{text!r} gives no boot entry",
            hint=r"give NAME=PATH, such as 'Windows=\EFI\Microsoft\Boot\bootmgfw.efi'",
        )
    return GivenEntry(description.strip(), normal_loader(loader))


def boot_entries(
    disks: Sequence[CapturedDisk], given: Sequence[GivenEntry] = ()
) -> tuple[BootEntry, ...]:
    """The boot entries of ``disks``, in the order they are to be tried.

    First those ``given``, then what this machine's firmware has of its own disks; if there is neither,
    those of the systems on an EFI system partition that the firmware would not boot without. Raises
    NotFound when no partition holds a loader that was given.
    """
    entries = [_given(entry, disks) for entry in given]
    known = {(e.disk, e.partition, e.loader.lower()) for e in entries}
    entries += [e for e in _recorded(disks) if (e.disk, e.partition, e.loader.lower()) not in known]
    return tuple(entries) if entries else tuple(_found(disks))


def boot_loaders(disks: Sequence[CapturedDisk]) -> tuple[BootLoader, ...]:
    """The EFI programs of ``disks`` in the usual places, with who signed them."""

    def look(volume: FatVolume) -> list[tuple[str, tuple[Signer, ...]]]:
        return [(path, _signers(volume, path)) for path in loaders(volume)[:_MOST_PROGRAMS]]

    return tuple(
        BootLoader(path, disk, partition, signers)
        for disk, partition, programs in _asked(disks, look)
        for path, signers in programs
    )


def _signers(volume: FatVolume, path: str) -> tuple[Signer, ...]:
    found = volume.find(path)
    try:
        return program_signers(volume.content(found, _MOST_PROGRAM)) if found is not None else ()
    except BadImage:
        return ()  # no program at all, whatever its name says: no firmware starts it either


def _recorded(disks: Sequence[CapturedDisk]) -> tuple[BootEntry, ...]:
    if not any(disk.own for disk in disks):
        return ()
    now = efivars.boot_variables()
    options = [now.options[number] for number in now.in_order()]
    entries = recorded(options, [disk.layout for disk in disks])
    return tuple(entry for entry in entries if disks[entry.disk].own)


def _given(entry: GivenEntry, disks: Sequence[CapturedDisk]) -> BootEntry:
    def look(volume: FatVolume) -> tuple[bool, tuple[str, ...]]:
        found = volume.find(entry.loader)
        return found is not None and not found.is_directory, loaders(volume)

    seen: list[str] = []
    for disk, partition, (holds, programs) in _asked(disks, look):
        if holds:
            return BootEntry(entry.description, entry.loader, disk, partition)
        seen += programs
    there = f"what is there: {', '.join(seen[:8])}" if seen else "there is no EFI system partition"
    raise NotFound(f"no EFI system partition holds {entry.loader}", hint=there)


def _found(disks: Sequence[CapturedDisk]) -> Iterator[BootEntry]:
    def look(volume: FatVolume) -> tuple[str, ...]:
        return () if has_fallback(volume) else loaders(volume)

    for disk, partition, programs in _asked(disks, look):
        yield from found_entries(programs, disk, partition)


def _asked(disks: Sequence[CapturedDisk], ask: Callable[[FatVolume], T]) -> Iterator[tuple[int, int, T]]:
    """What ``ask`` says of every EFI system partition that can be read: disk, partition, answer."""
    for number, disk in enumerate(disks):
        with BlockFile.open_source(str(disk.raw), sector_size=disk.layout.sector_size) as device:
            for partition in efi_system_partitions(disk.layout):
                try:
                    answer = ask(FatVolume(_reader(device, partition), partition.length))
                except BadImage:
                    continue  # the image holds it as it is; the firmware would not boot it either
                yield number, partition.number, answer


def _reader(device: BlockFile, partition: Partition) -> Read:
    """Reads ``partition`` of ``device``; what lies behind its end is not there."""

    def read(offset: int, length: int) -> bytes:
        inside = max(0, min(length, partition.length - offset, device.size - partition.start - offset))
        return device.read(partition.start + offset, inside)

    return read

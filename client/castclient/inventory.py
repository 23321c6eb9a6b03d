"""The disks of this machine that a cast may go to."""

from __future__ import annotations

from collections.abc import Callable

from castcore.disk import DiskFacts
from castcore.edge.disk import probe, raid
from castcore.edge.disk.named import named_disk

from castclient.settings import Settings


def described(disk: DiskFacts) -> str:
    """A disk as people are told of it."""
    return f"{disk.path} ({disk.model})" if disk.model else disk.path


def disks(settings: Settings, say: Callable[[str], None]) -> tuple[DiskFacts, ...]:
    """The disks that were named, else all there are.

    On a machine that is ours the arrays of firmware RAID are assembled first, read-only, each time:
    their disks may have come late. Raises NotFound, Refused (the name fits several), DiskFailed,
    MissingProgram.
    """
    if settings.bring_up:
        raid.assemble([facts.path for facts in probe.identities()], say)
    return tuple(map(named_disk, settings.targets)) or probe.disks()

"""What the dialogue has done for it: looking, capturing, restoring. Thin; each call blocks until done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from castcore.disk import DiskFacts, Plan, total
from castcore.disk.objections import FirmwareFacts
from castcore.edge import dmi, efivars
from castcore.edge.disk import probe, survey
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.bootafter import boot_afterwards
from castcore.edge.image.capture import CaptureOptions, capture
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.store import SUFFIX, free_space, list_images
from castcore.edge.image.storedcheck import check_stored
from castcore.edge.medium import OpenMedium, find_media, medium_at, open_medium
from castcore.errors import FleetcastError, NotFound
from castcore.progress import Progress, ProgressCallback
from castcore.units import human

from castclient import inventory
from castclient.local import licences
from castclient.local.facts import Here, LicenceCount, MediumNow, StoredHere, Surveyed, WorkNow
from castclient.local.state import Capture, Restore
from castclient.model import RateMeter
from castclient.settings import Settings


@dataclass(frozen=True)
class Hands:
    """Works on this machine's disks; on a host (``settings.may_leave`` False) on those named alone.

    ``medium`` is the device or image file of the medium, "" to find it; ``sources`` are disks to capture
    on a host; ``say`` gets what happens beside.
    """

    settings: Settings
    say: Callable[[str], None]
    medium: str = ""
    sources: tuple[str, ...] = ()

    def look(self) -> Here:
        """The machine, its disks and its medium as they are now. Raises MissingProgram."""
        here = Here(dmi.machine(), self._disks(), day=time.strftime("%Y-%m-%d"))
        try:
            with self._open() as medium:
                return replace(here, medium=_medium_now(medium, self.say))
        except FleetcastError as error:
            return replace(here, problem=error.what)

    def firmware(self) -> FirmwareFacts | None:
        """How this machine boots; None on a host: nothing boots from there."""
        return efivars.firmware_facts() if self.settings.may_leave else None

    def survey(self, disks: Sequence[DiskFacts], progress: ProgressCallback) -> Surveyed:
        """What a capture of ``disks`` takes. Raises NotFound, DiskFailed, MissingProgram."""
        found = [survey.survey(disk.path, progress=progress) for disk in disks]
        return Surveyed(tuple(one.layout for one in found), sum(total(one.in_use) for one in found))

    def restore(self, task: Restore, progress: ProgressCallback) -> tuple[str, ...]:
        """Write the image as planned, prove it, use a licence up; what was done, a line each.

        Raises NoLicence, BadImage, Untrusted, DiskFailed, InUse, NotFound.
        """
        machine = _machine_key()
        with (
            self._open() as medium,
            Image.open(medium.images / f"{task.image}{SUFFIX}") as image,
            licences.licensed(medium, task.image, machine, self.say),
        ):
            check_stored(image, progress=progress)
            done = _write(image, task.plan, progress)
            said = [f"{task.image}: {human(done)} written, read back and proven"]
            said += [f"root {image.manifest.index_digest.hex()}"]
            entries = image.manifest.boot_entries
        return (*said, *self._boot_entries(entries, task.plan))

    def capture(self, task: Capture, progress: ProgressCallback) -> tuple[str, ...]:
        """Capture the disks to the medium: an image that is there complete, or not at all.

        Raises NoSpace, InUse, Refused, DiskFailed, NotFound, MissingProgram.
        """
        first, *more = [Path(disk.path) for disk in task.disks]
        with self._open(writable=True) as medium:
            path = medium.images / f"{task.name}{SUFFIX}"
            made = capture(first, path, more=more, options=CaptureOptions(), progress=progress)
        disks = ", ".join(disk.path for disk in task.disks)
        return (
            f"{disks} captured as {made.name}: {human(made.used)} in use, {human(made.stored)} stored",
            f"root {made.index_digest.hex()}",
        )

    def _disks(self) -> tuple[DiskFacts, ...]:
        if not self.sources:
            return inventory.disks(self.settings, self.say)
        named = dict.fromkeys((*self.settings.targets, *self.sources))
        return tuple(probe.disk(name) for name in named)

    def _open(self, *, writable: bool = False):  # type: ignore[no-untyped-def] # a context manager
        return open_medium(self._device(), writable=writable)

    def _device(self) -> str:
        """The medium: the one named, the one that was booted from, else the first. Raises NotFound."""
        if self.medium:
            return self.medium
        found = find_media()
        booted = {disk.path for disk in probe.disks() if disk.boot_medium} if len(found) > 1 else set()
        chosen = sorted(found, key=lambda medium: medium.device not in booted)
        if not chosen:
            raise NotFound("no deploy medium is connected", hint="plug it in, then look again")
        return chosen[0].device

    def _boot_entries(self, entries, plan: Plan) -> list[str]:  # type: ignore[no-untyped-def]
        if not self.settings.may_leave:
            return []
        try:
            return boot_afterwards(entries, plan.targets)
        except FleetcastError as error:
            return [f"warning: {error.what}"]

"""What the dialogue has done for it: looking, capturing, restoring. Thin; each call blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from castcore.control import OrderKind
from castcore.disk import BootEntry, DiskFacts, Plan, total
from castcore.disk.objections import FirmwareFacts
from castcore.edge import dmi, efivars
from castcore.edge.disk import probe
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.bootafter import boot_afterwards
from castcore.edge.disk.named import named_disk
from castcore.edge.disk.survey import survey
from castcore.edge.image.capture import CaptureOptions, capture
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.edge.image.store import SUFFIX, free_space, list_images
from castcore.edge.image.storedcheck import check_stored
from castcore.edge.medium import FoundMedium, OpenMedium, find_media, open_medium
from castcore.errors import FleetcastError, NotFound, Refused
from castcore.progress import ProgressCallback
from castcore.units import exactly, human

from castclient import inventory, power
from castclient.local import licences
from castclient.local.facts import Here, LicenceCount, MediumNow, ServerHere, StoredHere, Surveyed
from castclient.local.servers import Servers
from castclient.local.state import Capture, Restore, Survey
from castclient.settings import Settings

# A stick that the firmware has just read may still be found anew by the kernel.
MEDIUM_SECONDS = 10.0
_PAUSE = 0.5


class Hands:
    """Works on this machine's disks; on a host (``settings.may_leave`` False) on those named alone.

    ``medium`` is the device or image file of the medium, "" to find it; ``disks`` are a host's disks or
    raw files that may be used (None: a booted machine's own); ``say`` gets what happens beside.
    """

    def __init__(
        self,
        settings: Settings,
        servers: Servers,
        say: Callable[[str], None],
        *,
        medium: str = "",
        disks: Sequence[str] | None = None,
    ) -> None:
        self._settings, self._servers, self._say = settings, servers, say
        self._medium, self._named = medium, disks
        self._waited = False

    def look(self) -> Here:
        """The machine, its disks and its medium as they are now. Raises MissingProgram."""
        here = Here(dmi.machine(), self._disks(), day=time.strftime("%Y-%m-%d"))
        try:
            with self._open() as medium:
                return replace(here, medium=_medium_now(medium))
        except FleetcastError as error:
            return replace(here, problem=error.what)

    def firmware(self) -> FirmwareFacts | None:
        """How this machine boots; None on a host: nothing boots from there."""
        return efivars.firmware_facts() if self._settings.may_leave else None

    def search(self) -> tuple[ServerHere, ...]:
        """The servers that answer. Raises NetworkFailed."""
        return self._servers.search()

    def leave(self, kind: OrderKind) -> None:
        """Restart or switch off; nothing on a host. Raises FleetcastError when the kernel refuses."""
        if self._settings.may_leave:
            power.leave(kind)

    def survey(self, task: Survey, progress: ProgressCallback) -> Surveyed:
        """What a capture takes. Raises NotFound, DiskFailed, MissingProgram."""
        found = [survey(disk.path, progress=progress) for disk in task.disks]
        return Surveyed(tuple(one.layout for one in found), sum(total(one.in_use) for one in found))

    def restore(self, task: Restore, progress: ProgressCallback) -> tuple[str, ...]:
        """Write the image as planned, prove it, use a licence up; what was done, a line each.

        Raises NoLicence, BadImage, Untrusted, DiskFailed, InUse, NotFound.
        """
        machine = _machine_key()
        with (
            self._open() as medium,
            Image.open(medium.images / f"{task.image}{SUFFIX}") as image,
            licences.licensed(medium, task.image, machine, self._say),
        ):
            check_stored(image, progress=progress)
            for target in task.plan.targets:
                _require_same(target)
            done = _write(image, task.plan, progress)
            said = [f"{task.image}: {human(done)} written, read back and proven"]
            said += [f"root {image.manifest.index_digest.hex()}"]
            entries = image.manifest.boot_entries
        return (*said, *self._boot_entries(entries, task.plan))

    def capture(self, task: Capture, progress: ProgressCallback) -> tuple[str, ...]:
        """Capture the disks to the medium, or a server: an image that is there complete, or not at all.

        Raises NoSpace, InUse, Refused, DiskFailed, NotFound, MissingProgram, NetworkFailed.
        """
        if task.server is not None:
            return self._servers.capture(task, progress)
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
        if self._named is None:
            return inventory.disks(self._settings, self._say)
        return tuple(map(named_disk, self._named))

    def _open(self, *, writable: bool = False) -> AbstractContextManager[OpenMedium]:
        return open_medium(self._device(), writable=writable)

    def _device(self) -> str:
        """The medium: the one named, the one that was booted from, else the first. Raises NotFound."""
        if self._medium:
            return self._medium
        found = self._found()
        booted = {disk.path for disk in probe.disks() if disk.boot_medium} if len(found) > 1 else set()
        chosen = sorted(found, key=lambda medium: medium.device not in booted)
        if not chosen:
            raise NotFound("no deploy medium is connected", hint="plug it in, then look again")
        return chosen[0].device

    def _found(self) -> tuple[FoundMedium, ...]:
        """The media that are connected; the first time a slow one is waited for: we booted from it."""
        end = time.monotonic() + (0.0 if self._waited else MEDIUM_SECONDS)
        self._waited = True
        while not (found := find_media()) and time.monotonic() < end:
            time.sleep(_PAUSE)
        return found

    def _boot_entries(self, entries: Sequence[BootEntry], plan: Plan) -> list[str]:
        if not self._settings.may_leave:
            return []
        try:
            return boot_afterwards(entries, plan.targets)
        except FleetcastError as error:
            return [f"warning: {error.what}"]


def _medium_now(medium: OpenMedium) -> MediumNow:
    """What is on the medium."""
    stored = (StoredHere(one.name, one.manifest, one.problem) for one in list_images(medium.images))
    now = MediumNow(
        device=medium.found.device,
        name=medium.info.name,
        size=medium.found.size,
        free=free_space(medium.root),
        images=tuple(stored),
    )
    try:
        found, clock = licences.balances(medium), int(time.time())
    except FleetcastError as error:
        return replace(now, problem=error.what)
    counts = (LicenceCount(b.licence.product, b.left, b.licence.expired(clock)) for b in found)
    return replace(now, licences=tuple(counts))


def _machine_key() -> str:
    """What a licence knows this machine by."""
    machine = dmi.machine()
    return machine.uuid or machine.serial or machine.board_serial or "unnamed"


def _require_same(target: DiskFacts) -> None:
    """A disk may have been exchanged since its plan was shown. Raises Refused, NotFound, DiskFailed."""
    now = probe.disk(target.path)
    if (now.stable_id, now.size) != (target.stable_id, target.size):
        raise Refused(
            f"{target.path} is not what was shown: {now.stable_id} of {exactly(now.size)},"
            f" then {target.stable_id} of {exactly(target.size)}",
            hint="look again, and choose anew",
        )


def _write(image: Image, plan: Plan, progress: ProgressCallback) -> int:
    """Write ``image`` as planned and read it back; bytes written."""
    with ExitStack() as stack:
        disks = [
            stack.enter_context(BlockFile.open_target(t.path, sector_size=t.sector_size))
            for t in plan.targets
        ]
        conversions = dict(plan.conversions)
        return restore(image, disks, conversions=conversions, verify=True, progress=progress).written

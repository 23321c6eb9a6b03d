"""Disks, images, plans and progress in words for the local screen. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from castcore.disk import DiskFacts, DiskLayout, Fit, Partition, fit_all, total
from castcore.disk.choice import unasked
from castcore.disk.fit import Reason, ReasonCode
from castcore.disk.kinds import kind_of
from castcore.image import Manifest
from castcore.units import human

from castclient.local.facts import Here, MediumNow, StoredHere, WorkNow

_BAR = 60
_STEPS = {
    "look": "Looking at disks and medium",
    "search": "Looking for a server on every wired network",
    "survey": "Reading what is in use",
    "capture": "Reading, compressing and writing the image",
    "check": "Proving every chunk of the image before anything is erased",
    "zero": "Clearing what must be zeros",
    "restore": "Writing the disk",
    "verify": "Reading the disk back and proving it",
    "wait": "The server does not answer; waiting for it",
}


def medium_lines(here: Here) -> list[str]:
    """The medium in one line or two."""
    medium = here.medium
    if medium is None:
        return [f"medium    none: {here.problem or 'no deploy medium is connected'}"]
    images = f"{len(medium.images)} image" + ("" if len(medium.images) == 1 else "s")
    line = f"medium    {medium.name} ({medium.device}, {human(medium.size)}): {images},"
    return [f"{line} {human(medium.free)} free", *_licences(medium)]


def _licences(medium: MediumNow) -> list[str]:
    problem = [f"          NOTHING CAN BE RESTORED: {medium.problem}"] if medium.problem else []
    return problem + [
        f"          licence for {one.product}: {one.left} left" + (", EXPIRED" if one.expired else "")
        for one in medium.licences
    ]


def machine_line(here: Here) -> str:
    """Who this machine is."""
    machine = here.machine
    name = " ".join(filter(None, (machine.vendor, machine.product))) or "unnamed"
    serial = f", serial {machine.serial}" if machine.serial else ""
    firmware = machine.firmware.upper() + (", Secure Boot" if machine.secure_boot else "")
    return f"machine   {name}{serial} ({firmware}, {human(machine.memory)})"


def disk_text(disk: DiskFacts, *, medium: MediumNow | None = None) -> str:
    """One disk in one line: where, how large, which, and what it is besides."""
    is_medium = disk.boot_medium or (medium is not None and disk.path == medium.device)
    marks = ["the medium"] if is_medium else []
    marks += ["removable"] if disk.removable else []
    marks += ["read-only"] if disk.read_only else []
    marks += [f"in use: {disk.held_by}"] if disk.held_by and not is_medium else []
    known = " ".join(filter(None, (disk.path, human(disk.size), disk.model, disk.bus.upper())))
    return known + (f" [{', '.join(marks)}]" if marks else "")


def disk_lines(disk: DiskFacts, *, medium: MediumNow | None = None) -> list[str]:
    """A disk and what is on it."""
    return [f"{disk.stable_id}", f"  {disk_text(disk, medium=medium)}", *layout_lines(disk.layout)]


def layout_lines(layout: DiskLayout | None, *, taken: bool = False) -> list[str]:
    """Every partition of a disk, one a line; ``taken``: and what an image has of it."""
    if layout is None:
        return ["    cannot be read"]
    if not layout.partitions:
        return ["    no partitions"]
    return [f"    {_partition(one, taken=taken)}" for one in layout.partitions]


def _partition(one: Partition, *, taken: bool) -> str:
    name = one.label or one.name
    named = f' "{name}"' if name else ""
    why = f"  taken: {one.taken}{f' ({one.why})' if one.why else ''}" if taken else ""
    return f"{one.number:>2}  {human(one.length):>9}  {one.fstype or kind_of(one)}{named}{why}"


def image_text(stored: StoredHere) -> str:
    """One image in one line."""
    manifest = stored.manifest
    if manifest is None:
        return f"CANNOT BE USED: {stored.problem}"
    day = datetime.fromtimestamp(manifest.created, UTC).strftime("%Y-%m-%d")
    sizes = " + ".join(human(disk.layout.size) for disk in manifest.disks)
    return f"{day}, {human(manifest.used)} in use of {sizes}"


def fit_of(manifest: Manifest, number: int, disk: DiskFacts, here: Here) -> Fit:
    """Whether disk ``number`` of the image goes on ``disk``: removable disks and the medium never do."""
    reasons = list(unasked(disk).reasons)
    if not reasons and disk not in here.others():
        reasons.append(Reason(ReasonCode.BOOT_MEDIUM, f"{disk.path} is the deploy medium"))
    known = {reason.code for reason in reasons}
    verdict = fit_all([manifest.disks[number]], [disk], convert=True)
    return Fit((*reasons, *(one for one in verdict.reasons if one.code not in known)))


def lost_text(manifest: Manifest) -> str:
    """What could not be read of the source, "" for nothing."""
    lost = sum(total(disk.unreadable) for disk in manifest.disks)
    return f"{human(lost)} could not be read of its source and are zeros" if lost else ""


def work_lines(now: WorkNow) -> list[str]:
    """How far work is, for the screen."""
    lines = [_STEPS.get(now.step, now.step)]
    if now.total:
        filled = min(_BAR, _BAR * now.done // now.total)
        lines.append(f"[{'#' * filled}{'.' * (_BAR - filled)}] {now.percent:3d}%")
        rate = f", {human(now.rate)}/s" if now.rate else ""
        left = f", {clock(now.eta)} left" if now.eta is not None else ""
        lines.append(f"{human(now.done)} of {human(now.total)}{rate}{left}")
    return [*lines, *([now.detail] if now.detail else [])]


def clock(seconds: int) -> str:
    """Seconds as 1:02 or 1:02:03."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

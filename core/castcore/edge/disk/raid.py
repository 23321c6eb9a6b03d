"""Arrays of firmware RAID, by mdadm(8) and /sys/block: told, assembled read-only, made writable.

Which to assemble :mod:`castcore.disk.arrays` decides. Assembling writes nothing to a member: the volume
starts read-only, so that nothing is synchronised, and without mdmon, the only one that would write
metadata. It comes when a plan writes to the array (:func:`make_writable`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from castcore.disk.arrays import FORMATS, Container, Member, containers, member_of, subarray_container
from castcore.edge import run
from castcore.errors import DiskFailed, FleetcastError

SYS = Path("/sys/block")
SECONDS = 60.0
# mdadm by itself takes IMSM arrays only where it finds Intel's option ROM or UEFI driver. Where the data
# lies the metadata alone say; what the ROM limits is the making of arrays.
_ANYWHERE = {"IMSM_NO_PLATFORM": "1"}
_WITHOUT_MONITOR = _ANYWHERE | {"MDADM_NO_MDMON": "1"}
# What is striped only has no state to keep, and needs no mdmon.
_STATELESS = frozenset({"raid0", "linear"})
_MDMON_RUNS = 3  # mdmon's exit status where another one has the container already


@dataclass(frozen=True, slots=True)
class ArrayVolume:
    """A volume of a firmware RAID that is assembled; ``read_only``: one of its members is."""

    uuid: str
    name: str
    level: str
    read_only: bool


def is_volume(path: str) -> bool:
    """Whether ``path``, or what the kernel calls so, is an assembled volume of a firmware RAID."""
    return bool(_container(_kernel_name(path)))


def volume(path: str) -> ArrayVolume:
    """What the volume ``path`` is. Raises MissingProgram, ProgramFailed."""
    name = _kernel_name(path)
    detail = ["mdadm", "--detail", "--export", f"/dev/{name}"]
    told = run.run(detail, timeout=SECONDS, extra_env=_ANYWHERE)
    words = dict(
        line.split("=", 1) for line in told.decode(errors="replace").splitlines() if "=" in line
    )
    uuid, slaves = words.get("MD_UUID", ""), _names(SYS / name / "slaves")
    members = filter(None, (_member(f"/dev/{slave}") for slave in slaves[:1]))
    names = {v.uuid: v.name for member in members for v in member.volumes}
    read_only = any(_read(SYS / name / "slaves" / slave / "ro") == "1" for slave in slaves)
    return ArrayVolume(uuid, names.get(uuid, ""), words.get("MD_LEVEL", ""), read_only)


def examined(paths: Iterable[str]) -> tuple[Container, ...]:
    """The firmware RAIDs whose members are among the disks ``paths``; () where mdadm is not installed.

    Disks are only read.
    """
    if run.find("mdadm") is None:
        return ()
    return containers(member for member in map(_member, paths) if member is not None)


def assembled() -> dict[str, str]:
    """The device nodes of the volumes that are assembled, by UUID. Raises MissingProgram."""
    found = {}
    for name in _arrays():
        if is_volume(name):
            with suppress(run.ProgramFailed):
                found[volume(name).uuid] = f"/dev/{name}"
    return found


def assemble(paths: Iterable[str], say: Callable[[str], None]) -> None:
    """Assemble, read-only, the firmware RAIDs that the disks ``paths`` make; ``say`` hears of each.

    What cannot be assembled stays as it is. Raises MissingProgram.
    """
    for one in examined(paths):
        if one.reason:
            say(f"RAID {one.name}: not assembled: {one.reason}")
        else:
            _assemble(one, say)


def make_writable(path: str) -> None:
    """Let the volume ``path`` be written; nothing is done to what is none of a firmware RAID.

    From here on the kernel and mdmon keep the array: they note that it is written to, and synchronise
    what was not in step. Raises DiskFailed when it stays read-only.
    """
    name = _kernel_name(path)
    container = _container(name)
    if not container or _read(SYS / name / "ro") != "1":
        return
    if _read(SYS / name / "md/level") not in _STATELESS:
        run.run(["mdmon", container], timeout=SECONDS, extra_env=_ANYWHERE, ok=(0, _MDMON_RUNS))
    run.run(["mdadm", "--readwrite", f"/dev/{name}"], timeout=SECONDS, extra_env=_ANYWHERE)
    for _ in range(100):
        if _read(SYS / name / "ro") == "0":
            return
        time.sleep(0.1)
    raise DiskFailed(f"{path}: the array stays read-only", hint="/proc/mdstat tells its state")


def settle(path: str) -> None:
    """Wait until the array ``path`` is noted as clean: its next start then synchronises nothing.

    One that is being synchronised is not clean; that goes on at its next start.
    """
    if is_volume(path):
        with suppress(FleetcastError):
            run.run(
                ["mdadm", "--wait-clean", os.path.realpath(path)], timeout=SECONDS, extra_env=_ANYWHERE
            )


def _assemble(one: Container, say: Callable[[str], None]) -> None:
    """Start the volumes of ``one`` that are not there; what is not sound is stopped again.

    One start may bring up several of them, so that each is judged by what it is, however it came.
    """
    before, there = _arrays(), assembled()
    sound: set[str] = set()
    try:
        lacking = [volume for volume in one.volumes if volume.uuid not in there]
        problems = {volume.uuid: _start(one, volume.uuid) for volume in lacking}
        nodes = assembled()
        for volume in lacking:
            node = nodes.get(volume.uuid, "")
            problem = _unsound(node) if node else problems[volume.uuid] or "it did not start"
            if problem:
                say(f"RAID {volume.name or volume.uuid}: not assembled: {problem}")
                continue
            sound.add(_kernel_name(node))
            about = f"{FORMATS[one.metadata]}, of {', '.join(one.members)}"
            say(f"RAID {volume.name or volume.uuid}: {node} ({about})")
    finally:
        _stop([name for name in _arrays() if name not in before], sound)


def _start(one: Container, uuid: str) -> str:
    """Start the volume ``uuid`` of ``one`` unless another start did; why it failed, "" if it did not."""
    try:
        if uuid in assembled():
            pass
        elif one.metadata == "ddf":
            _start_ddf(one)
        else:
            _start_imsm(one, uuid)
    except FleetcastError as error:
        return error.what
    return ""


def _unsound(node: str) -> str:
    """Why the volume ``node`` that was just started must not run, "" if it may."""
    name = _kernel_name(node)
    if _read(SYS / name / "ro") != "1":
        return "it did not start read-only"
    if _read(SYS / name / "md/degraded") not in ("", "0"):
        return "it is degraded: a member is no longer in step"
    return ""


def _stop(names: Iterable[str], sound: set[str]) -> None:
    """Stop the arrays ``names`` but the volumes ``sound`` and the containers that those are in."""
    kept = sound | {_container(name) for name in sound}
    # Containers last: they go only when nothing of them is in use.
    for name in sorted(set(names) - kept, key=lambda name: (not is_volume(name), name)):
        with suppress(FleetcastError):
            _mdadm("--stop", f"/dev/{name}")


def _start_imsm(one: Container, uuid: str) -> None:
    container = next((n for n in _arrays() if _made_of(n, one)), "")
    if not container:
        container = _free_name()
        # No --metadata: mdadm 4.4 (Debian 13) then frees it twice and dies.
        _mdadm("--assemble", f"/dev/{container}", *one.members)
    _mdadm("--assemble", "--readonly", f"/dev/{_free_name()}", f"--uuid={uuid}", f"/dev/{container}")


def _start_ddf(one: Container) -> None:
    """Member by member, all volumes at once: mdadm 4.3 and 4.4 die of DDF when they assemble."""
    if not any(_made_of(name, one) for name in _arrays()):
        before = _arrays()
        for member in one.members:
            _mdadm("--incremental", member)
        for name in (n for n in _arrays() if n not in before and is_volume(n)):
            if _read(SYS / name / "ro") != "1":  # striped only: nothing has been written all the same
                _mdadm("--readonly", f"/dev/{name}")


def _made_of(name: str, one: Container) -> bool:
    """Whether the kernel's ``name`` is the container of ``one``, assembled already."""
    external = _read(SYS / name / "md/metadata_version") == f"external:{one.metadata}"
    there = {f"/dev/{slave.rpartition('/')[2]}" for slave in _names(SYS / name / "slaves")}
    return external and there == set(one.members)


def _mdadm(*words: str) -> None:
    # Without a configuration: neither a host's own names nor its policies have a say.
    run.run(["mdadm", *words, "--config=none"], timeout=SECONDS, extra_env=_WITHOUT_MONITOR)


def _member(path: str) -> Member | None:
    exported = _examine(path, "--export")
    if not exported:
        return None
    return member_of(path, exported, _examine(path, "--brief"), _examine(path))


def _examine(path: str, *how: str) -> str:
    command = ["mdadm", "--examine", *how, path]
    try:
        return run.run(command, timeout=SECONDS, extra_env=_ANYWHERE).decode(errors="replace")
    except run.ProgramFailed:  # no RAID metadata there, or it cannot be read
        return ""


def _container(name: str) -> str:
    return subarray_container(_read(SYS / name / "md/metadata_version"))


def _arrays() -> list[str]:
    return [name for name in _names(SYS) if name.startswith("md")]


def _kernel_name(path: str) -> str:
    return Path(os.path.realpath(path)).name


def _free_name() -> str:
    """An md device that is not there yet; from 127 down, as mdadm counts."""
    taken = _arrays()
    return next(name for n in count() if (name := f"md{127 - n}") not in taken and n < 127)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

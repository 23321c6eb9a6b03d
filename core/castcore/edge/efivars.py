"""The firmware's variables, as the kernel's efivarfs shows them: reading and changing boot entries.

Documentation/filesystems/efivarfs.rst: a file NAME-GUID holds four bytes of attributes and the value;
it is written whole in one call. Most are marked immutable, so that nobody removes them by mistake.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from castcore.disk.bootplan import BootPlan, BootVariables
from castcore.disk.loadoption import LoadOption, encode_load_option, parse_load_option
from castcore.disk.objections import FirmwareFacts
from castcore.disk.signatures import trusted_signers
from castcore.errors import BadImage, DiskFailed

FOLDER = Path("/sys/firmware/efi/efivars")
# EFI_GLOBAL_VARIABLE (UEFI 2.10, section 3.3), which boot entries and their order belong to.
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
# EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10, section 32.6.1), of the signature database.
_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
# Kept over power cycles, seen by boot services and by the running system.
_ATTRIBUTES = struct.pack("<I", 0x7)
_ENTRY = re.compile(rf"Boot([0-9A-F]{{4}})-{GLOBAL}")
# linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS (of 64-bit Linux), FS_IMMUTABLE_FL.
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


def available(folder: Path = FOLDER) -> bool:
    """Whether this machine was started by UEFI and its variables can be read."""
    return any(folder.glob(f"BootOrder-{GLOBAL}")) or any(folder.glob(f"SecureBoot-{GLOBAL}"))


def value(name: str, folder: Path = FOLDER, *, namespace: str = GLOBAL) -> bytes | None:
    """The value of the variable ``name``, None when there is none or it cannot be read."""
    try:
        return (folder / f"{name}-{namespace}").read_bytes()[len(_ATTRIBUTES) :]
    except OSError:
        return None


def firmware_facts(folder: Path = FOLDER) -> FirmwareFacts:
    """How this machine was started, and whose signatures its firmware trusts."""
    database = value("db", folder, namespace=_SECURITY) or b""
    return FirmwareFacts(
        uefi=folder.parent.is_dir(),
        secure_boot=value("SecureBoot", folder) == b"\1",
        trusted=trusted_signers(database),
    )


def boot_variables(folder: Path = FOLDER) -> BootVariables:
    """The boot entries; one that cannot be understood is there without a path."""
    names = sorted(path.name for path in folder.glob(f"Boot????-{GLOBAL}"))
    options = {}
    for found in filter(None, map(_ENTRY.fullmatch, names)):
        data = value(f"Boot{found[1]}", folder)
        if data is not None:
            options[int(found[1], 16)] = _option(data)
    order = value("BootOrder", folder) or b""
    following = value("BootNext", folder) or b""
    return BootVariables(
        options,
        tuple(number for (number,) in struct.iter_unpack("<H", order[: len(order) // 2 * 2])),
        int.from_bytes(following, "little") if len(following) == 2 else None,
    )


def apply(plan: BootPlan, now: BootVariables, folder: Path = FOLDER) -> None:
    """Carry out ``plan``; what is as it should be is not written. Raises DiskFailed.

    Cut off anywhere, the order names only entries that are there.
    """
    for number, option in plan.writes:
        _write(_name(number), encode_load_option(option), folder)
    if plan.order != now.order:
        _write("BootOrder", _numbers(plan.order), folder)
    if plan.next is not None and plan.next != now.next:
        _write("BootNext", _numbers([plan.next]), folder)
    for number in plan.removes:
        _remove(_name(number), folder)


def _option(data: bytes) -> LoadOption:
    try:
        return parse_load_option(data)
    except BadImage:
        return LoadOption("", (), data, attributes=0)


def _name(number: int) -> str:
    return f"Boot{number:04X}"


def _numbers(numbers: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<H", number) for number in numbers)


def _write(name: str, data: bytes, folder: Path) -> None:
    path = folder / f"{name}-{GLOBAL}"
    _make_mutable(path)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, _ATTRIBUTES + data)
        finally:
            os.close(fd)
    except OSError as error:
        raise _refused(name, error) from None


def _remove(name: str, folder: Path) -> None:
    path = folder / f"{name}-{GLOBAL}"
    _make_mutable(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(name, error) from None


def _make_mutable(path: Path) -> None:
    """Allow ``path`` to be changed; whatever keeps us from that, the change itself will tell."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("l", fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l"))))
            if flags & _IMMUTABLE:
                fcntl.ioctl(fd, _SET_FLAGS, struct.pack("l", flags & ~_IMMUTABLE))
        finally:
            os.close(fd)


def _refused(name: str, error: OSError) -> DiskFailed:
    return DiskFailed(
        f"the firmware does not take its variable {name}: {error.strerror}",
        hint="make the entry in the firmware's own setup, or free some of its variables",
    )

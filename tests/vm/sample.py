"""The sample system: a real Debian 13 on a raw disk file, made once, kept by its recipe's hash."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from castcore.edge import run
from castmedia.mirror import host_mirror

from tests.vm import sampledisk, sampleroot

PROGRAMS = ("mmdebstrap", "sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy", "mkswap", "chroot")


@dataclass(frozen=True)
class Sample:
    """A built sample: the raw disk, its size in bytes, and what it says of itself when it boots."""

    disk: Path
    size: int
    host: str
    root_uuid: str


def sample(cache: Path, say: Callable[[str], None]) -> Sample:
    """The sample system from ``cache``, built first when it is not there.

    Raises MissingProgram, ProgramFailed, NotFound (no package mirror). Complete or absent: it is
    built under a temporary name and renamed.
    """
    folder = cache / f"sample-{_recipe_hash()}"
    if not folder.exists():
        say("building the sample system (Debian 13 from packages), about two minutes")
        _build(cache, folder, say)
    facts = json.loads((folder / "sample.json").read_text())
    return Sample(folder / "disk.raw", sampledisk.DISK_SIZE, facts["host"], facts["uuids"]["root"])


def _recipe_hash() -> str:
    """Everything the sample is made from is in these sources; packages are as of the first build."""
    whole = b"".join(Path(module.__file__ or "").read_bytes() for module in (sampleroot, sampledisk))
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


def _build(cache: Path, folder: Path, say: Callable[[str], None]) -> None:
    run.require(PROGRAMS, hint="run `make setup`")
    cache.mkdir(parents=True, exist_ok=True)
    work = cache / f"{folder.name}.{os.getpid()}.tmp"
    uuids = sampleroot.Uuids(str(uuid.uuid4()), _fat_serial(), str(uuid.uuid4()))
    log = cache / "sample.log"
    try:
        work.mkdir()
        root = work / "root"
        with log.open("w") as lines:
            sampleroot.build_root(root, uuids, host_mirror(), lambda line: print(line, file=lines))
        say("writing the sample system's disk")
        sampledisk.make_disk(work / "disk.raw", root, uuids)
        shutil.rmtree(root)
        facts = {"host": sampleroot.HOST_NAME, "uuids": asdict(uuids)}
        (work / "sample.json").write_text(json.dumps(facts))
        os.sync()
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _drop_older(cache, folder)


def _fat_serial() -> str:
    number = secrets.token_hex(4).upper()
    return f"{number[:4]}-{number[4:]}"


def _drop_older(cache: Path, current: Path) -> None:
    for old in cache.glob("sample-*"):
        if old != current and not old.name.endswith(".tmp"):
            shutil.rmtree(old, ignore_errors=True)

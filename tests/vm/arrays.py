"""Runs inside a guest (tests.vm.guest): two disks made into a firmware RAID, and imaged as one.

The disks are the kernel's own (scsi_debug). Arguments: the metadata (imsm, ddf), the level. Prints one
line of JSON with what was seen; whatever goes wrong is an exception.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from castcore.disk import DiskFacts, ReasonCode
from castcore.disk.arrays import subarray_container
from castcore.disk.choice import unasked
from castcore.edge import commandline
from castcore.edge.disk import probe, raid
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.run import run
from castcore.errors import ExitCode
from castserver.commands import capture, restore

FOLDER = Path("/tmp/fleetcast-guest")
IMAGE = FOLDER / "array.fcast"
# No Intel option ROM here, and a systemctl that in a chroot pretends to have started mdmon.
ALONE = {"IMSM_NO_PLATFORM": "1", "MDADM_NO_SYSTEMCTL": "1"}
NAME = "Volume0"
# A striped array's image is too large for one member, which is told first.
NO_TARGET = (ExitCode.REFUSED, ExitCode.DOES_NOT_FIT)


def tool(*command: str | Path, data: bytes | None = None) -> str:
    done = run([str(c) for c in command], timeout=120, data=data, extra_env=ALONE)
    return done.decode(errors="replace")


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", [capture, restore], [str(a) for a in argv]))


def disks() -> list[str]:
    """The nodes of the SCSI and SATA disks, which are all made for this."""
    return sorted(f"/dev/{disk.name}" for disk in Path("/sys/block").glob("sd*"))


def digest(path: str) -> str:
    run(["sync"], timeout=60)
    with BlockFile.open_source(path) as disk:
        disk.drop_cache()
        return hashlib.sha256(disk.read(0, disk.size)).hexdigest()


def digests(members: list[str]) -> list[str]:
    return [digest(member) for member in members]


def partition(array: str) -> str:
    tool("blockdev", "--rereadpt", array)
    return f"{array}p1"


def make(metadata: str, level: str, members: list[str]) -> tuple[str, str]:
    """An array with a partition table and files; return its partition's tree and its UUID."""
    count = f"--raid-devices={len(members)}"
    tool("mdadm", "--create", "/dev/md100", f"--metadata={metadata}", count, "--run", *members)
    made = ["mdadm", "--create", "/dev/md101", f"--name={NAME}", f"--level={level}", count, "--run"]
    tool(*made, "/dev/md100")
    run(["mdadm", "--wait", "/dev/md101"], timeout=120, extra_env=ALONE, ok=(0, 1))
    tool("sfdisk", "-q", "/dev/md101", data=b"label: gpt\nstart=2048, type=L\n")
    part = partition("/dev/md101")
    tool("mkfs.ext4", "-q", "-F", part)
    point = FOLDER / "point"
    point.mkdir()
    tool("mount", part, point)
    for number in range(150):
        (point / f"file-{number}").write_bytes(os.urandom(number * 97))
    for number in range(0, 150, 3):
        (point / f"file-{number}").unlink()
    tool("umount", point)
    found = tree(part)
    uuid = raid.volume("/dev/md101").uuid
    stop()
    return found, uuid


def stop() -> None:
    """All arrays; the volumes before the containers that they are in."""
    nodes = [f"/dev/{path.name}" for path in Path("/sys/block").glob("md*")]
    for node in sorted(nodes, key=lambda node: not raid.is_volume(node)):
        raid.settle(node)
        tool("mdadm", "--stop", node)


def tree(device: str) -> str:
    point = FOLDER / "point"
    tool("mount", "-o", "ro", device, point)
    try:
        return tool("sh", "-c", f"cd {point} && find . -type f | sort | xargs b2sum | b2sum")
    finally:
        tool("umount", point)


def assembled(uuid: str) -> tuple[DiskFacts, list[DiskFacts]]:
    """The array as this machine's disks show it once our code has assembled it; the other disks."""
    raid.assemble([facts.path for facts in probe.identities()], print)
    found = probe.disks()
    (array,) = [facts for facts in found if facts.stable_id == f"raid-{uuid}"]
    state = Path("/sys/block", Path(array.path).name, "md/array_state").read_text().strip()
    assert state == "readonly", state
    return array, [facts for facts in found if facts is not array]


def refused(others: list[DiskFacts], members: list[str], words: str) -> None:
    """Each member is neither source nor target, with the array in the reason."""
    seen = [facts for facts in others if facts.path in members]
    assert {facts.path for facts in seen} == set(members), others
    for facts in seen:
        (reason,) = unasked(facts).reasons
        assert reason.code is ReasonCode.RAID_MEMBER, reason
        assert words in reason.text, reason
        assert fleetcast("capture", facts.path, FOLDER / "no.fcast") is ExitCode.REFUSED
        if IMAGE.exists():
            assert fleetcast("restore", IMAGE, facts.path, "--yes") in NO_TARGET


def in_sync(array: str) -> bool:
    """Whether the kernel knows of nothing to synchronise; not for what is striped only."""
    md = Path("/sys/block", Path(array).name, "md")
    return (md / "resync_start").read_text().strip() == "none"


def break_off(array: str) -> None:
    """Leave ``array`` as a power cut does: being written to, and noted so."""
    version = Path("/sys/block", Path(array).name, "md/metadata_version").read_text()
    container = subarray_container(version)
    disk = BlockFile.open_target(array)
    disk.write(0, disk.read(0, 4096))
    disk.flush()
    os.kill(int(Path(f"/run/mdadm/{container}.pid").read_text()), signal.SIGKILL)
    disk._is_array = False  # nobody is there any more to note it as clean
    disk.close()
    tool("mdadm", "--stop", array)
    tool("mdadm", "--stop", f"/dev/{container}")


def erase(array: str) -> None:
    with BlockFile.open_target(array) as disk:
        disk.write(0, b"\xa5" * disk.size)


def case(metadata: str, level: str) -> dict[str, object]:
    members = disks()[:2]
    before, uuid = make(metadata, level, members)
    has_state = level != "0"  # what is striped only is neither dirty nor clean
    if has_state:
        array, _ = assembled(uuid)
        break_off(array.path)
    untouched = digests(members)
    array, others = assembled(uuid)
    seen: dict[str, object] = {"dirty": not in_sync(array.path)} if has_state else {}
    assert unasked(array).ok, array
    refused(others, members, f"which is {array.path}")
    assert fleetcast("capture", array.path, IMAGE, "--level", "1") is ExitCode.OK
    selector = f"by-id:{array.stable_id}"
    assert fleetcast("restore", IMAGE, selector, "--dry-run") is ExitCode.OK
    seen |= {"untouched": digests(members) == untouched, "model": array.model, "size": array.size}
    erase(array.path)
    stop()
    array, _ = assembled(uuid)
    erased = digests(members)
    assert fleetcast("restore", IMAGE, selector, "--yes", "--verify") is ExitCode.OK
    seen["changed"] = digests(members) != erased
    stop()
    array, _ = assembled(uuid)
    if has_state:
        seen["clean"] = in_sync(array.path)
    seen["same"] = tree(partition(array.path)) == before
    if level == "1":
        heads = set()
        for member in members:
            with BlockFile.open_source(member) as disk:
                heads.add(hashlib.sha256(disk.read(0, array.size)).hexdigest())
        seen["mirrored"] = len(heads) == 1
    stop()
    return seen | lonely(members)


def lonely(members: list[str]) -> dict[str, object]:
    """One of the members is gone: the array is not assembled, the other one stays what it is."""
    with BlockFile.open_target(members[1]) as disk:
        disk.zero(0, disk.size)
    said: list[str] = []
    raid.assemble([facts.path for facts in probe.identities()], said.append)
    refused(list(probe.disks()), members[:1], f"{NAME}, which is not assembled: 1 of its 2 members")
    return {"lonely": said, "arrays": sorted(raid.assembled())}


def main() -> None:
    FOLDER.mkdir()
    metadata, level = sys.argv[1:]
    print(f"\nCASE {json.dumps(case(metadata, level))}")


if __name__ == "__main__":
    main()

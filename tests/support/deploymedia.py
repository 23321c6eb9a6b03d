"""A deploy medium as far as its table and data go, in an image file: nothing boots from it.

The real ones are made by ``media-builder deploy-media``.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from castcore.disk import Extent, new_table
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.loopdevice import writable_loop
from castcore.edge.medium.mounting import mounted
from castcore.edge.run import run
from castcore.medium import (
    IMAGES,
    LICENCES,
    MEDIUM_FILE,
    DataFileSystem,
    MediumInfo,
    MediumKind,
    least_size,
    plan_layout,
)

MAKE = {
    DataFileSystem.EXT4: ["mkfs.ext4", "-q", "-F", "-L", "FLEETDATA"],
    DataFileSystem.EXFAT: ["mkfs.exfat", "-L", "FLEETDATA"],
}
LEAST = least_size(MediumKind.DEPLOY)


def bare_medium(
    path: Path,
    *,
    size: int = LEAST,
    filesystem: DataFileSystem = DataFileSystem.EXT4,
    name: str = "Room 12",
) -> MediumInfo:
    """Make the image file ``path`` a deploy medium with an empty store; return its info."""
    with path.open("wb") as file:
        file.truncate(size)
    info = MediumInfo(str(uuid.uuid4()), name)
    layout = plan_layout(size, 512, MediumKind.DEPLOY, filesystem=filesystem)
    assert layout.data is not None
    with BlockFile.open_target(path) as disk:
        partitions = layout.partitions([str(uuid.uuid4()) for _ in range(4)])
        for write in new_table(partitions, size=size, sector_size=512, uuid=info.id):
            disk.write(write.offset, write.data)
    _fill(path, layout.data, filesystem, info)
    return info


def _fill(path: Path, data: Extent, filesystem: DataFileSystem, info: MediumInfo) -> None:
    with writable_loop(str(path), data) as device:
        run([*MAKE[filesystem], device], timeout=60)
        with mounted(device, filesystem, writable=True) as root:
            (root / MEDIUM_FILE).write_bytes(info.encode())
            for folder in (IMAGES, LICENCES):
                (root / folder).mkdir()

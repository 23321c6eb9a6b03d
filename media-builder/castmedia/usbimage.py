"""A raw image of a boot stick: a GUID partition table, GRUB for a BIOS, the boot part in FAT32."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from castcore.disk import new_table
from castcore.medium import MediumKind, least_size, plan_layout

from castmedia.bootpart import LABEL, SECTOR, BootPart, fat_size, write_fat


def usb_size(part: BootPart) -> int:
    """Bytes of the image."""
    return least_size(MediumKind.CLIENT, boot_size=fat_size(part.files))


def write_usb(image: Path, part: BootPart) -> None:
    """Make the file ``image``. Raises NoSpace, OSError, run.ProgramFailed."""
    size, boot_size, digest = usb_size(part), fat_size(part.files), part.digest
    layout = plan_layout(size, SECTOR, MediumKind.CLIENT, boot_size=boot_size)
    image.write_bytes(b"")
    write_fat(
        image,
        part.files,
        label=LABEL,
        size=boot_size,
        volume_id=digest[:4].hex(),
        offset=layout.boot_slots[0].start,
    )
    core_at = layout.bios.start // SECTOR
    table = new_table(
        layout.partitions([_uuid(digest, 1), _uuid(digest, 2)]),
        size=size,
        sector_size=SECTOR,
        uuid=_uuid(digest, 0),
        boot_code=part.bios.boot_code(core_at),
    )
    with image.open("r+b") as file:
        file.truncate(size)
        file.seek(layout.bios.start)
        file.write(part.bios.core_at(core_at))
        for write in table:
            file.seek(write.offset)
            file.write(write.data)


def _uuid(digest: bytes, number: int) -> str:
    """The UUID ``number`` of a medium with that ``digest``, as one made by chance looks."""
    return str(UUID(bytes=digest[number : number + 16], version=4))

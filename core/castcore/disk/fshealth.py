"""May a file system's own record of its free blocks be believed? "" when yes, else why not.

An unclean file system keeps newer allocations in its journal, in a hibernated system's memory, or
nowhere; its bitmap then calls blocks free that are in use. Partclone does not look at all of these,
so we do, and take every sector of such a partition. Pure: on-disk bytes in, a reason out.
"""

from __future__ import annotations

import struct

EXT_MAGIC = 0xEF53
EXT_STATE_VALID = 1
EXT_STATE_ERROR = 2
EXT_INCOMPAT_RECOVER = 0x4

EXFAT_VOLUME_DIRTY = 0x2

NTFS_NO_CLIENT = 0xFFFF
NTFS_RESTART_CLEAN = 0x2
NTFS_VOLUME_DIRTY = 0x1
# Since version 2.0 of $LogFile Windows 8 and later keep metadata cached over a "fast" shutdown.
NTFS_CACHING_LOG = 2
NTFS_LOG_BYTES = 65536

NOT_CLEAN = "was not cleanly unmounted"


def ext_trouble(superblock: bytes) -> str:
    """``superblock`` is the 1024 bytes at byte 1024 of an ext2/3/4 file system."""
    if len(superblock) < 100 or _u16(superblock, 56) != EXT_MAGIC:
        return "its superblock cannot be read"
    if _u32(superblock, 96) & EXT_INCOMPAT_RECOVER:
        return f"{NOT_CLEAN}: its journal holds changes"
    state = _u16(superblock, 58)
    if state & EXT_STATE_ERROR or not state & EXT_STATE_VALID:
        return NOT_CLEAN
    return ""


def exfat_trouble(boot_sector: bytes) -> str:
    """``boot_sector`` is the first sector of an exFAT file system (specification, 3.1.13)."""
    if len(boot_sector) < 512 or boot_sector[3:11] != b"EXFAT   ":
        return "its boot sector cannot be read"
    return NOT_CLEAN if _u16(boot_sector, 106) & EXFAT_VOLUME_DIRTY else ""


def ntfs_volume_trouble(volume_information: bytes) -> str:
    """``volume_information`` is the value of $Volume's attribute 0x70."""
    if len(volume_information) < 12:
        return "its volume record cannot be read"
    return "is marked for a check (chkdsk)" if _u16(volume_information, 10) & NTFS_VOLUME_DIRTY else ""


def ntfs_log_trouble(log: bytes) -> str:
    """``log`` is the start (NTFS_LOG_BYTES) of $LogFile: its two restart pages."""
    if log and not log.strip(b"\xff"):
        return ""  # an emptied log, as mkfs and every repair leave it
    pages = []
    if log[:4] in (b"RSTR", b"CHKD") and len(log) >= 24:
        size = _u32(log, 16)
        pages = [log[at : at + 4096] for at in (0, size) if log[at : at + 4] in (b"RSTR", b"CHKD")]
    areas = [area for page in pages if (area := _restart_area(page)) is not None]
    if not areas:
        return "its log cannot be read"
    # The page written last has the higher log sequence number.
    _, in_use, flags, major = max(areas)
    if major >= NTFS_CACHING_LOG:
        return "was left by Windows' fast startup"
    return "" if in_use == NTFS_NO_CLIENT or flags & NTFS_RESTART_CLEAN else NOT_CLEAN


def ntfs_hibernation_trouble(hiberfile: bytes) -> str:
    """``hiberfile`` is the start of hiberfil.sys, b"" when there is none."""
    # Zeros: never hibernated. "wake": resumed since.
    if hiberfile[:4].lower() in (b"", b"\0\0\0\0", b"wake"):
        return ""
    return "holds a hibernated Windows"


def _restart_area(page: bytes) -> tuple[int, int, int, int] | None:
    """Sequence number, list of clients, flags and the log's major version of a restart page."""
    major, at = _u16(page, 28), _u16(page, 24)
    if at + 16 > len(page):
        return None
    sequence, _clients, _free, in_use, flags = struct.unpack_from("<QHHHH", page, at)
    return sequence, in_use, flags, major


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")

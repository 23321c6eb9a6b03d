"""A Clonezilla image folder opened: each disk with its table, and the streams of its partitions.

What Clonezilla restores with sfdisk and dd is put together here in a sparse scratch file, of which
only the tables have bytes; the partitions' contents never go through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from castcore.disk import DiskLayout, Extent, Extents, Partition, TableType, Taken, merge, subtract
from castcore.edge.disk.disklayout import WHOLE_DISK, is_extended, read_layout
from castcore.edge.foreign.pieces import ForeignDisk, Held, byte_files, file_bytes, partclone_files
from castcore.edge.foreign.scratch import Scratch, scratch_disk
from castcore.edge.run import ProgramFailed, run
from castcore.errors import BadImage, DiskFailed, NotFound, Refused
from castcore.foreign import clonezilla
from castcore.foreign.clonezilla import DISKS_FILE, PARTS_FILE, DiskLines, Holds
from castcore.foreign.swapheader import PAGE, swap_header
from castcore.units import MIB

SECONDS = 60.0
# The texts of a folder are a few KiB; how much hidden data is kept, Clonezilla's configuration bounds.
MOST_TEXT = MIB
MOST_HIDDEN = 64 * MIB
# Clonezilla counts sectors of 512 bytes whatever the disk has.
SECTOR = 512
BOOT_CODE = 446
TABLES = {"gpt": TableType.GPT, "msdos": TableType.MBR}
NOT_KEPT = "not in the Clonezilla image"
SWAP = "swap: only its header"


@contextmanager
def opened_folder(folder: Path, directory: Path) -> Iterator[list[ForeignDisk]]:
    """The disks that the Clonezilla ``folder`` holds; scratch files stand in ``directory``.

    Raises BadImage, Refused (what it holds cannot be put together), NotFound, DiskFailed, NoSpace,
    MissingProgram.
    """
    with ExitStack() as stack:
        files = _Folder(folder)
        with _naming(folder):
            clonezilla.require_plain(files.names)
            if DISKS_FILE not in files.names:
                raise Refused(
                    f"{folder} holds partitions only, not a disk (`ocs-sr saveparts`)",
                    hint="import one of its partitions: name the first of its files",
                )
            names = clonezilla.device_names(files.text(DISKS_FILE))
            parts = clonezilla.device_names(files.text(PARTS_FILE))
            opened = [
                _Opening(files, name, parts, stack, directory / f"disk-{number}.raw").disk()
                for number, name in enumerate(names)
            ]
        yield opened


class _Folder:
    """The files of a folder, by their names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.names = frozenset(p.name for p in path.iterdir() if p.is_file())
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from None

    def bytes(self, name: str, limit: int = MOST_TEXT) -> bytes:
        """The content of a small file. Raises BadImage when it is missing or larger than ``limit``."""
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            raise BadImage(f"{name} is missing") from None
        except OSError as error:
            raise DiskFailed(f"{self.path / name} cannot be read: {error.strerror}") from None
        if len(data) > limit:
            raise BadImage(f"{name} is larger than {limit} bytes")
        return data

    def text(self, name: str) -> str:
        """The content of a small text file; bytes that are no UTF-8 become U+FFFD."""
        return self.bytes(name).decode(errors="replace")

    def paths(self, names: Sequence[str]) -> list[Path]:
        """The files ``names``, in their order."""
        return [self.path / name for name in names]


class _Opening:
    """Opens one disk of a folder; what it opens is closed with ``stack``."""

    def __init__(
        self, files: _Folder, name: str, parts: Sequence[str], stack: ExitStack, scratch: Path
    ) -> None:
        self._files, self._name, self._stack, self._scratch = files, name, stack, scratch
        self._prefix = clonezilla.file_name(name)
        numbers = {part: clonezilla.partition_number(part, name) for part in parts}
        self._parts = {number: part for part, number in numbers.items() if number is not None}

    def disk(self) -> ForeignDisk:
        """The disk, its table in the scratch file and its partitions' streams open."""
        table_file = f"{self._prefix}-pt.parted"
        if WHOLE_DISK in self._parts and table_file not in self._files.names:
            return self._bare()
        lines = clonezilla.parse_parted(self._files.text(table_file))
        if lines.table not in TABLES:
            raise Refused(f"{self._name} has a partition table of type {lines.table}, which is not read")
        scratch = self._stack.enter_context(scratch_disk(self._scratch, lines.size, lines.sector_size))
        hidden = self._put_table(lines, scratch)
        layout, records = _read_table(scratch, lines)
        self._put_boot_code(layout, scratch)
        unknown = self._parts.keys() - {p.number for p in layout.partitions}
        if unknown:
            raise BadImage(f"{self._parts[min(unknown)]} is not in the partition table of {self._name}")
        held = {p.number: self._held(p) for p in layout.partitions}
        outside = subtract(
            merge([*records, hidden]), [p.extent for p in layout.partitions if held[p.number]]
        )
        opened = self._stack.enter_context(scratch.opened())
        return ForeignDisk(scratch, layout.partitions, held, file_bytes(opened, outside))

    def _bare(self) -> ForeignDisk:
        """A file system without a partition table around it."""
        files = clonezilla.partition_files(self._files.names, self._name)
        if files is None or files.holds is not Holds.PARTCLONE:
            raise BadImage(f"the partclone image of {self._name} is missing")
        held = self._stack.enter_context(partclone_files(self._files.paths(files.names), 0))
        scratch = self._stack.enter_context(scratch_disk(self._scratch, held.size, SECTOR))
        whole = Partition(WHOLE_DISK, 0, held.size)
        return ForeignDisk(scratch, (whole,), {WHOLE_DISK: held}, Held((), tuple))

    def _put_table(self, lines: DiskLines, scratch: Scratch) -> Extent:
        """Write the disk's table to ``scratch``; return where Clonezilla's hidden data stands."""
        names, prefix = self._files.names, self._prefix
        script = self._files.bytes(f"{prefix}-pt.sf") if f"{prefix}-pt.sf" in names else b""
        if lines.table == "gpt":
            if f"{prefix}-gpt-1st" in names:
                scratch.put(0, self._files.bytes(f"{prefix}-gpt-1st"))
            else:
                self._by_sfdisk(script, scratch)
            return Extent(0, 0)
        if clonezilla.has_logical(script.decode(errors="replace")):
            self._by_sfdisk(script, scratch)
        # The first sector has the primary partitions as they were, with boot code and disk signature.
        scratch.put(0, self._files.bytes(f"{prefix}-mbr")[:SECTOR])
        if f"{prefix}-hidden-data-after-mbr" not in names:
            return Extent(0, 0)
        hidden = self._files.bytes(f"{prefix}-hidden-data-after-mbr", MOST_HIDDEN)
        scratch.put(SECTOR, hidden)
        return Extent(SECTOR, len(hidden))

    def _by_sfdisk(self, script: bytes, scratch: Scratch) -> None:
        """The table that the script `sfdisk -d` wrote describes, as Clonezilla makes it."""
        if scratch.sector_size != SECTOR:
            raise Refused(
                f"{self._name} has sectors of {scratch.sector_size} bytes, and its table must be made by"
                " sfdisk, which makes one of 512 bytes in a file",
                hint=clonezilla.RESTORE_FIRST,
            )
        command = ["sfdisk", "--force", "--no-reread", "--no-tell-kernel", "--wipe", "never"]
        try:
            run([*command, str(scratch.path)], timeout=SECONDS, data=script)
        except ProgramFailed as error:
            raise BadImage(f"{self._prefix}-pt.sf describes no partition table: {error.what}") from None

    def _put_boot_code(self, layout: DiskLayout, scratch: Scratch) -> None:
        for partition in layout.partitions:
            name = f"{self._partition_file(partition)}-ebr"
            if is_extended(partition) and name in self._files.names:
                scratch.put(partition.start, self._files.bytes(name)[:BOOT_CODE])

    def _held(self, partition: Partition) -> Held | None:
        """What the folder has of ``partition``, None when that is nothing."""
        if is_extended(partition):
            return None
        name = self._parts.get(partition.number)
        own = self._partition_file(partition)
        files = clonezilla.partition_files(self._files.names, own)
        if files is not None:
            paths = self._files.paths(files.names)
            if files.holds is Holds.BYTES:
                return self._stack.enter_context(byte_files(paths, partition.extent))
            return self._stack.enter_context(partclone_files(paths, partition.start, partition.length))
        if f"swappt-{own}.info" in self._files.names:
            swap = clonezilla.parse_swap(self._files.text(f"swappt-{own}.info"))
            page = swap_header(swap.uuid, swap.label, partition.length)
            where = Extent(partition.start, PAGE)
            return Held(
                (where,), lambda: [(where.start, page)], fstype="swap", taken=Taken.HEADER, why=SWAP
            )
        if name is not None:
            raise BadImage(f"the image of {name} is missing")
        return None

    def _partition_file(self, partition: Partition) -> str:
        """How the files of ``partition`` begin."""
        number = partition.number
        between = "p" if self._name[-1].isdigit() else ""
        name = self._parts.get(number, f"{self._name}{between}{number}")
        return clonezilla.file_name(name)


def _read_table(scratch: Scratch, lines: DiskLines) -> tuple[DiskLayout, Extents]:
    """The layout that stands in ``scratch``, and the bytes of its tables."""
    with scratch.opened() as disk:
        layout, table = read_layout(disk)
    if layout.table is not TABLES[lines.table]:
        why = table.trouble or f"it reads as {layout.table}"
        raise BadImage(f"its partition table is damaged: {why}")
    return layout, table.records


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Name the folder in whatever is wrong with it."""
    try:
        yield
    except (BadImage, Refused) as error:
        if str(folder) in error.what:
            raise
        raise type(error)(f"{folder}: {error.what}", hint=error.hint) from None

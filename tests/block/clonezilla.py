"""Clonezilla image folders, made by the commands that `ocs-sr savedisk` runs, without its menus.

`ocs-sr` itself saves partitions by their device nodes, which loop devices here have none of. What it
runs is in its scripts/sbin/ocs-functions: save_part_table_mbr_dm_info (sfdisk -d, parted, dd of the
MBR, of the first and last sectors of a GPT), save_hidden_data_after_MBR, save_part_by_partclone,
save_part_by_dd, output_swap_partition_uuid_label; what it runs to restore are their counterparts.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.run import run
from castcore.units import MIB

from tests.block.diskimages import copy_into, cut_out

SECONDS = 120.0
SECTOR = 512


@dataclass(frozen=True)
class Saved:
    """How a disk is saved: partclone options, compressor and its suffix, split's piece ("": none)."""

    partclone: str = "-z 10485760"
    compressor: str = "zstd -c"
    suffix: str = "zst"
    piece: str = ""
    name: str = "sda"  # what partitions' names begin with
    disk: str = "sda"


@dataclass(frozen=True)
class Part:
    """A partition of a disk: its number, its place, and how it is saved (``dd``, ``swap``, ``ext4``)."""

    number: int
    extent: Extent
    kind: str


def shell(command: str, **names: str | Path) -> str:
    """Run a shell command line with ``{names}`` quoted in it."""
    quoted = {name: shlex.quote(str(value)) for name, value in names.items()}
    line = "set -o pipefail; " + command.format(**quoted)
    return run(["bash", "-c", line], timeout=SECONDS).decode(errors="replace")


def parts_of(raw: Path, kinds: dict[int, str]) -> list[Part]:
    """The partitions of ``raw`` with sfdisk's places; ``kinds`` says what is in them."""
    table = json.loads(run(["sfdisk", "--json", str(raw)], timeout=SECONDS))["partitiontable"]
    found = []
    for entry in table["partitions"]:
        number = int(entry["node"].removeprefix(str(raw)).lstrip("p"))
        extent = Extent(entry["start"] * SECTOR, entry["size"] * SECTOR)
        if number in kinds:
            found.append(Part(number, extent, kinds[number]))
    return found


def save_disk(raw: Path, folder: Path, parts: list[Part], saved: Saved) -> Path:
    """``folder``, an image of the disk ``raw``."""
    folder.mkdir(exist_ok=True)
    disk, base = saved.disk, folder / saved.disk
    names: dict[str, str | Path] = {"raw": raw, "base": base}
    spelled = f"sed -e 's#{raw}\\([0-9]\\)#/dev/{saved.name}\\1#' -e 's#{raw}#/dev/{disk}#'"
    # The tools see a file; Clonezilla's see a device, whose name stands in what they print.
    shell(f"sfdisk -d {{raw}} | {spelled} > {{base}}-pt.sf", **names)
    shell(f"parted -s {{raw}} unit s print | {spelled} > {{base}}-pt.parted", **names)
    shell("dd if={raw} of={base}-mbr bs=512 count=1", **names)
    if "Partition Table: gpt" in Path(f"{base}-pt.parted").read_text():
        last = raw.stat().st_size // SECTOR - 33 + 1
        shell("dd if={raw} of={base}-gpt-1st bs=512 count=34", **names)
        shell("dd if={raw} of={base}-gpt-2nd skip=" + str(last) + " bs=512 count=33", **names)
    else:
        hidden = min(p.extent.start for p in parts) // SECTOR - 1
        shell(f"dd if={{raw}} of={{base}}-hidden-data-after-mbr skip=1 bs=512 count={hidden}", **names)
    for part in parts:
        _save_part(raw, folder, part, saved)
    images = [f"{saved.name}{p.number}" for p in parts if p.kind not in ("swap", "extended")]
    (folder / "parts").write_text(" ".join(images) + "\n")
    (folder / "disk").write_text(f"{disk}\n")
    (folder / "clonezilla-img").write_text("This image was saved by Clonezilla\n")
    return folder


def _save_part(raw: Path, folder: Path, part: Part, saved: Saved) -> None:
    name = f"{saved.name}{part.number}"
    source = cut_out(raw, part.extent, folder / "part.raw")
    names: dict[str, str | Path] = {"source": source, "log": folder / "log"}
    if part.kind == "swap":
        text = shell("blkid -p -o export {source}", **names)
        found = dict(line.split("=", 1) for line in text.splitlines())
        told = f'UUID="{found.get("UUID", "")}"\nLABEL="{found.get("LABEL", "")}"\n'
        (folder / f"swappt-{name}.info").write_text(told)
    elif part.kind == "extended":
        shell("dd if={source} of={target} bs=512 count=1", target=folder / f"{name}-ebr", **names)
    else:
        if part.kind == "dd":
            save = "partclone.dd -z 16777216 -L {log} -s {source} --output - | gzip -c"
            target = folder / f"{name}.dd-img"
        else:
            save = f"partclone.{part.kind} {saved.partclone} -L {{log}} -c -s {{source}} --output -"
            save += f" | {saved.compressor}"
            target = folder / f"{name}.{part.kind}-ptcl-img.{saved.suffix}"
        into = f" | split -a 2 -b {saved.piece} - {{target}}." if saved.piece else " > {target}"
        shell(save + into, target=target, **names)
        Path(names["log"]).unlink(missing_ok=True)
    source.unlink()


def restore_disk(folder: Path, parts: list[Part], saved: Saved, target: Path) -> Path:
    """``target``, a blank file, as Clonezilla's own commands restore the folder to it."""
    base = folder / saved.disk
    names: dict[str, str | Path] = {"base": base, "target": target}
    if (folder / f"{saved.disk}-gpt-1st").exists():
        seek = target.stat().st_size // SECTOR - 33
        # Of the backup's 33 sectors Clonezilla saves the last 32; it has sgdisk repair the rest.
        shell("dd if={base}-gpt-1st of={target} conv=notrunc", **names)
        shell("dd if={base}-gpt-2nd of={target} bs=512 conv=notrunc seek=" + str(seek + 1), **names)
    else:
        shell("sfdisk --force --no-reread {target} < {base}-pt.sf", **names)
        shell("dd if={base}-hidden-data-after-mbr of={target} seek=1 bs=512 conv=notrunc", **names)
        shell("dd if={base}-mbr of={target} bs=512 count=1 conv=notrunc", **names)
    for part in parts:
        _restore_part(folder, part, saved, target)
    return target


def _restore_part(folder: Path, part: Part, saved: Saved, target: Path) -> None:
    name = f"{saved.name}{part.number}"
    if part.kind == "extended":
        at = part.extent.start
        shell(
            f"dd if={{ebr}} of={{target}} bs=1 count=446 seek={at} conv=notrunc",
            ebr=folder / f"{name}-ebr",
            target=target,
        )
        return
    one = cut_out(target, part.extent, folder.parent / "restored.part")
    names: dict[str, str | Path] = {"one": one, "log": folder.parent / "log", "first": folder / name}
    if part.kind == "swap":
        told = dict(x.split("=", 1) for x in (folder / f"swappt-{name}.info").read_text().splitlines())
        label = f"-L {told['LABEL']}" if told["LABEL"].strip('"') else ""
        shell(f"mkswap {label} -U {told['UUID']} {{one}}", **names)
    elif part.kind == "dd":
        shell("cat {first}.dd-img* | gzip -dc | dd of={one} conv=notrunc bs=1M", **names)
    else:
        unpack = saved.compressor.replace("-c", "-dc")
        shell(
            f"cat {{first}}.{part.kind}-ptcl-img.{saved.suffix}* | {unpack}"
            " | partclone.restore -z 10485760 -C -L {log} -s - -O {one}",
            **names,
        )
        Path(names["log"]).unlink(missing_ok=True)
    copy_into(one, target, part.extent.start)
    one.unlink()


def mbr_disk(folder: Path, contents: dict[str, Path]) -> Path:
    """An MBR disk of 192 MiB: NTFS, raw bytes, and in logical partitions ext4 and swap."""
    raw = folder / "mbr.raw"
    with raw.open("wb") as file:
        file.truncate(192 * MIB)
    script = (
        "label: dos\nlabel-id: 0x12345678\n"
        "start=2048, size=98304, type=7, bootable\n"
        "start=100352, size=8192, type=da\n"
        "start=108544, size=284672, type=f\n"
        "start=110592, size=196608, type=83\n"
        "start=309248, size=16384, type=82\n"
    )
    run(["sfdisk", "--quiet", str(raw)], timeout=SECONDS, data=script.encode())
    with raw.open("r+b") as file:
        file.seek(0)
        file.write(b"\xeb\x63boot code of some loader")
        file.seek(SECTOR)
        file.write(b"core image in the gap" * 900)
    for part in parts_of(raw, {1: "ntfs", 2: "dd", 5: "ext4", 6: "swap"}):
        copy_into(contents[part.kind], raw, part.extent.start)
    return raw

"""`make bench-image`: capture and restore beside partclone, dd and qemu-img, on this machine.

python -m tests.bench.image              everything, about 15 minutes
python -m tests.bench.image --quick      a disk of 512 MiB, one run each, no claim
python -m tests.bench.image --only ext4

Ours hashes every chunk, and proves each before it is written. Every program writes the same file, which
was full before, and has ended when all is durable. The runs of the programs take turns, so that
whatever else this machine does hits them alike; each figure is the median of them.
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import castcore
import castserver
from castcore.units import MIB, human

from tests.bench.imagedisks import DISK_SIZE, filled, make_disk
from tests.bench.imageruns import FLEETCAST, OURS, PEERS, RunFailed, Took, Tool, remove, size_of, timed
from tests.bench.table import Bar, machine, write

RUNS = 5
PACKAGES = (*castcore.__path__, *castserver.__path__)
FILE_SYSTEMS = ("ext4", "ntfs")
CAPTURE_BAR, RESTORE_BAR, SIZE_BAR, DELTA_BAR = 0.7, 0.7, 1.02, 0.3
# Ours, otherwise: what it costs to leave the check of the whole image out, or to read the disk back.
VARIANTS = {
    "ours --skip-check": f"{FLEETCAST} restore {{image}} {{target}} --yes --skip-check",
    "ours --verify": f"{FLEETCAST} restore {{image}} {{target}} --yes --verify",
}
DELTA = f"{FLEETCAST} restore {{image}} {{target}} --yes --delta"


@dataclass
class Bench:
    """Where a run's files are, how large its disk is and how often everything is done; its bars."""

    folder: Path
    size: int
    runs: int
    bars: list[Bar] = field(default_factory=list)

    def note(self, case: str, figure: str, bar: str = "", ok: bool | None = None) -> None:
        """One line of the table, printed at once."""
        self.bars.append(Bar(case, figure, bar, ok))
        print(
            f"    {case}: {figure}  {bar} {'' if ok is None else 'ok' if ok else 'MISSED'}", flush=True
        )


@dataclass
class Runs:
    """What one program took, run after run."""

    took: list[Took] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(t.seconds for t in self.took)

    def words(self) -> str:
        """Seconds of the median run, processor seconds, and the largest process."""
        cpu = statistics.median(t.cpu for t in self.took)
        memory = max(t.memory for t in self.took)
        return f"{self.seconds:.2f} s (cpu {cpu:.1f} s, {human(memory)})"


class Disk:
    """One source, its images and the target, measured by every program."""

    def __init__(self, bench: Bench, fstype: str) -> None:
        self._bench, self._fstype = bench, fstype
        self._disk = make_disk(bench.folder / f"{fstype}.raw", fstype, bench.size)
        self._target = filled(bench.folder / "target.raw", bench.size)

    def measure(self) -> None:
        """Captures, restores, then restores over what is there already."""
        captures = {tool.name: Runs() for tool in (OURS, *PEERS)}
        for _ in range(self._bench.runs):
            for tool in (OURS, *PEERS):
                remove(self._image(tool))
                captures[tool.name].took.append(self._run(tool.capture, tool, capture=True))
        self._beside("capture", captures, CAPTURE_BAR)
        self._sizes()
        orders = {tool.name: (tool, tool.restore) for tool in (OURS, *PEERS)}
        orders |= {name: (OURS, order) for name, order in VARIANTS.items()}
        restores = {name: Runs() for name in orders}
        for _ in range(self._bench.runs):
            for name, (tool, order) in orders.items():
                restores[name].took.append(self._run(order, tool))
        self._beside("restore", restores, RESTORE_BAR)
        self._delta(restores[OURS.name], restores["ours --verify"])

    def _image(self, tool: Tool) -> Path:
        name = "ours.fcast" if tool is OURS else tool.name.replace(" ", "")
        return self._bench.folder / f"{self._fstype}-{name}"

    def _run(self, order: str, tool: Tool, *, capture: bool = False) -> Took:
        image = self._image(tool)
        clone = f"partclone.{self._fstype}"
        command = order.format(disk=self._disk, image=image, target=self._target, clone=clone)
        if capture:
            return timed(command, reads=[self._disk], writes=image)
        return timed(command, reads=[image], writes=self._target)

    def _beside(self, step: str, runs: dict[str, Runs], bar: float) -> None:
        for name, each in runs.items():
            self._bench.note(f"{self._fstype} {step}, {name}", each.words())
            self._samples(each)
        fastest = min((tool.name for tool in PEERS), key=lambda name: runs[name].seconds)
        times = runs[OURS.name].seconds / runs[fastest].seconds
        figure = f"{times:.2f} x the fastest peer ({fastest})"
        self._bench.note(f"{self._fstype} {step}", figure, f"<= {bar} x", times <= bar)
        self._samples(runs[OURS.name])

    def _samples(self, runs: Runs) -> None:
        last = self._bench.bars[-1]
        samples = [round(t.seconds, 3) for t in runs.took]
        self._bench.bars[-1] = Bar(last.case, last.figure, last.bar, last.ok, samples)

    def _sizes(self) -> None:
        sizes = {tool.name: size_of(self._image(tool)) for tool in (OURS, *PEERS)}
        mine, theirs = sizes[OURS.name], sizes[PEERS[0].name]
        words = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
        self._bench.note(f"{self._fstype} image sizes", words)
        figure = f"{mine / theirs:.4f} x partclone's"
        ok = mine <= SIZE_BAR * theirs
        self._bench.note(f"{self._fstype} image size, level 3", figure, f"<= {SIZE_BAR} x", ok)

    def _delta(self, full: Runs, proven: Runs) -> None:
        """The target holds the image already: the runs before ended with ours.

        The bar is of a full restore that does not read the disk back, though a delta proves all of it.
        """
        delta = Runs([self._run(DELTA, OURS) for _ in range(self._bench.runs)])
        times, written = delta.seconds / full.seconds, max(t.written for t in delta.took)
        read = human(int(statistics.median(t.read for t in delta.took)))
        figure = f"{times:.2f} x a full restore ({delta.words()}); read {read}, written {written} B"
        ok = times <= DELTA_BAR and written == 0
        case = f"{self._fstype} delta restore over an equal disk"
        self._bench.note(case, figure, f"<= {DELTA_BAR} x, 0 B written", ok)
        self._samples(delta)
        beside = f"{delta.seconds / proven.seconds:.2f} x a full restore that reads the disk back"
        self._bench.note(case, beside)


def main() -> None:
    words = argparse.ArgumentParser(description="Capture and restore beside their peers.")
    words.add_argument("--quick", action="store_true", help="a disk of 512 MiB, one run each")
    words.add_argument("--only", nargs="*", choices=FILE_SYSTEMS, default=list(FILE_SYSTEMS))
    words.add_argument("--runs", type=int, default=RUNS)
    words.add_argument(
        "--folder", help="where the disks and images lie: a real file system, 20 GiB free"
    )
    args = words.parse_args()
    for package in PACKAGES:
        compileall.compile_dir(package, quiet=2)  # as an installation does
    about, begun = machine(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fleetcast-bench-", dir=args.folder or "/var/tmp"))
    size, runs = (512 * MIB, 1) if args.quick else (DISK_SIZE, args.runs)
    bench = Bench(folder, size, runs)
    try:
        for fstype in args.only:
            print(f"[{time.monotonic() - begun:.0f} s] {fstype}", flush=True)
            try:
                Disk(bench, fstype).measure()
            except RunFailed as error:
                # One file system that cannot be measured leaves the other its figures.
                bench.note(fstype, f"not measured: {error}", "", False)
    finally:
        shutil.rmtree(folder)
    write("image", about, bench.bars, seconds=round(time.monotonic() - begun), quick=args.quick)


if __name__ == "__main__":
    main()

"""``make demo``: one command casts a real system to PXE-booted virtual PCs, which then boot it."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from castcore.edge import run
from castcore.errors import ExitCode, FleetcastError, InUse, Refused
from castcore.units import human

from tests.vm.firmware import Firmware
from tests.vm.lab import Lab, lab
from tests.vm.labserver import FLEETCAST
from tests.vm.machine import PC
from tests.vm.outcome import boots_nobody, machine_outcome, site_line, table, write_result
from tests.vm.sample import Sample, sample
from tests.vm.watch import Watch

BUILD = Path(__file__).resolve().parents[2] / "build"
IMAGE = "sample"
FIRST = (
    PC("pc1", 1, Firmware.UEFI_SECURE),
    PC("pc2", 2, Firmware.UEFI),
    PC("pc3", 3, Firmware.BIOS),
)
LATE = PC("pc4", 4, Firmware.UEFI)
LOSSY = "pc2"
READY_SECONDS = 600.0
WHOLE_SECONDS = 900.0


@dataclass(frozen=True)
class Options:
    """How to run: ``loss`` in packets of 1000 towards one PC; ``keep`` leaves disks and image."""

    folder: Path = BUILD / "demo"
    cache: Path = BUILD / "cache"
    loss: int = 0
    keep: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 only when every PC booted what was cast."""
    options = _options(argv)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupted)
    try:
        return 0 if demo(options) else int(ExitCode.FAILED)
    except FleetcastError as error:
        print(f"error: {error.what}\n  next: {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; everything was taken down", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)


def demo(options: Options) -> bool:
    """Build what is needed, cast, boot; write ``result.json``; return whether all went well."""
    if os.geteuid() != 0:
        raise Refused("the demo makes network namespaces: it needs root", hint="use sudo")
    began = time.monotonic()
    with _alone(options.folder):
        shutil.rmtree(options.folder, ignore_errors=True)
        tree, images = options.folder / "pxe", options.folder / "images"
        images.mkdir(parents=True)
        build_tree(tree, options.cache)
        system = sample(options.cache, say)
        capture_sample(system, images)
        with lab(options.folder, images=images, tree=tree, say=say) as running:
            watch = _make_cast(running)
            try:
                _cast(running, watch, options)
            finally:
                ok = _Shown(running, watch, system, options, began).record()
        if not options.keep:
            _drop_disks(options.folder)
    return ok


@dataclass(frozen=True)
class _Shown:
    """One run; :meth:`record` tells how it went, also when it failed."""

    lab: Lab
    watch: Watch
    system: Sample
    options: Options
    began: float

    def record(self) -> bool:
        """Write ``result.json`` and print the table; return whether every PC booted what was cast."""
        machines = [machine_outcome(pc, self.system, self.watch.root) for pc in self.watch.pcs]
        offer, seconds = self.lab.site.offer(), time.monotonic() - self.began
        ok = len(machines) == len(FIRST) + 1 and all(m.ok for m in machines) and boots_nobody(offer)
        loss = {
            "machine": LOSSY if self.options.loss else None,
            "per_mille": self.options.loss,
            "packets_lost": self.lab.network.lost(),
        }
        image = {"name": IMAGE, "host": self.system.host, "root_uuid": self.system.root_uuid}
        facts = {"site_dhcp_offer": offer, "loss": loss, "image": image, "seconds": round(seconds)}
        write_result(self.options.folder / "result.json", ok=ok, machines=machines, facts=facts)
        say("\n" + table(machines))
        say("\n" + site_line(offer))
        if self.options.loss:
            say(f"Towards {LOSSY} {loss['packets_lost']} packets were lost on purpose")
        verdict = "every PC booted what was cast" if ok else "NOT every PC booted what was cast"
        say(f"{int(seconds // 60)}:{int(seconds % 60):02d}  {verdict}")
        return ok


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this run. Raises InUse when another run has it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"another run uses {folder}", hint="wait until it has ended") from None
        yield


def build_tree(tree: Path, cache: Path, profile: str = "vm") -> None:
    """``media-builder pxe``: kernel, boot loaders, and the boot image with the client."""
    say("Building the boot tree (cached when nothing changed)")
    command = [sys.executable, "-m", "castmedia", "pxe", "--profile", profile]
    run.run_lines([*command, "--output", str(tree), "--cache", str(cache)], say_detail)


def capture_sample(system: Sample, store: Path) -> None:
    """``fleetcast capture``: the sample's disk becomes the image ``sample``."""
    say(f"Capturing the sample system, {system.host} on a disk of {human(system.size)}")
    command = [*FLEETCAST, "capture", str(system.disk), IMAGE, "--store", str(store)]
    run.run_lines(command, say_detail)


def _make_cast(running: Lab) -> Watch:
    order = {"image": IMAGE, "start_clients": len(FIRST), "after": "reboot", "keep_open": True}
    cast = running.server.post("/casts", order)
    return Watch(running, cast["cast"], cast["root"], say)


def _cast(running: Lab, watch: Watch, options: Options) -> None:
    say(f"Powering on {len(FIRST)} PCs with blank disks ({running.accel}); they boot from the network")
    for pc in FIRST:
        loss = options.loss if pc.name == LOSSY else 0
        watch.add(running.power_on(pc, lose_per_mille=loss))
    watch.wait(
        lambda: all(pc.client_ready_s is not None for pc in watch.pcs),
        READY_SECONDS,
        "every PC's client reported to the server",
    )
    watch.wait(
        lambda: any(pc.report.get("done") for pc in watch.pcs), READY_SECONDS, "the cast is under way"
    )
    say(f"The cast is under way; a fourth PC is powered on: {LATE.name}")
    watch.add(running.power_on(LATE))
    watch.wait(
        lambda: all(pc.booted for pc in watch.pcs),
        WHOLE_SECONDS,
        "every PC restarted and booted from its disk",
    )
    running.server.post(f"/casts/{watch.cast}/cancel")


def _drop_disks(folder: Path) -> None:
    for path in folder.glob("*.disk"):
        path.unlink()
    shutil.rmtree(folder / "images", ignore_errors=True)


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def say_detail(text: str) -> None:
    """A line of a program that we run."""
    print(f"  {text}", flush=True)


def _options(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.vm.demo", description=__doc__)
    parser.add_argument("--loss", action="store_true", help=f"lose 1%% of the packets towards {LOSSY}")
    parser.add_argument("--keep", action="store_true", help="keep the PCs' disks and the image")
    args = parser.parse_args(argv)
    return Options(loss=10 if args.loss else 0, keep=args.keep)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Runs inside a guest (tests.vm.guest): a deploy medium on a real disk that vanishes under a cast.

The kernel takes the disk away while its file system is mounted and read, as a stick that is pulled
out. The server's own parts meet that: media, library, casts; only the network and its senders are
fakes. Prints one line of JSON with what was seen.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from castcore.edge.medium.mounting import FOLDER
from castcore.errors import FleetcastError
from castserver.casts.castmodel import Cast
from castserver.casts.policy import CastState
from castserver.images.library import Library
from castserver.media.media import Media
from castserver.media.mediaeyes import Eyes
from castserver.media.mediause import MediaUse
from castserver.netboot.bootserving import BootServing

from tests.support.serverlab import FakeClient, ServerLab

STORE = Path("/tmp/library")
SECONDS = 30.0
CHUNK_SECONDS = 0.03  # one pass over the image takes some seconds: it is not in memory when it is pulled


def until(look: Callable[[], Any]) -> float:
    """How long it took until ``look`` found something, in seconds."""
    start = time.monotonic()
    while not look():
        if time.monotonic() - start > SECONDS:
            raise AssertionError("it did not happen")
        time.sleep(0.01)
    return time.monotonic() - start


def mounts() -> int:
    """How many media are mounted."""
    return sum(f" {FOLDER}/" in line for line in Path("/proc/mounts").read_text().splitlines())


def open_files() -> list[str]:
    """The files on a medium that this process has open."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except OSError:
            continue
    return [link for link in links if str(FOLDER) in link and not link.endswith(".lock")]


class Reader:
    """Reads the chunks of a running cast's image in turn, until that fails."""

    def __init__(self, of: Cast) -> None:
        assert of.run is not None
        self._image, self.ended, self.passes = of.run.image, "", 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(SECONDS)
        assert self.ended

    def _run(self) -> None:
        try:
            while True:
                for chunk in range(self._image.chunk_count):
                    self._image.read_stored(chunk)
                    time.sleep(CHUNK_SECONDS)
                self.passes += 1
        except FleetcastError as error:
            self.ended = type(error).__name__


def scan() -> None:
    """Have the kernel look for disks again."""
    for host in Path("/sys/class/scsi_host").iterdir():
        (host / "scan").write_text("- - -")


def lab_over(media: Media) -> ServerLab:
    """A server whose library is a real one, and that follows ``media``."""
    STORE.mkdir()
    lab = ServerLab()
    lab.library = cast(Any, Library(STORE, lambda: media.now.medium))
    lab._assemble()
    lab.parts = cast(Any, lab.parts)
    return lab


def main() -> None:
    """Go through it once."""
    media = Media(Eyes())
    media.find()
    lab = lab_over(media)
    media.start(MediaUse(lab.parts, cast(BootServing, None), follow_tree=False), lambda: None)
    medium = media.now.medium
    assert medium is not None, media.now
    FakeClient(lab, 1).register()
    made = lab.operator("POST", "/casts", {"image": "stick", "start_clients": 1})["cast"]
    running = lab.casts.get(made)
    reader = Reader(running)
    time.sleep(1)
    (Path("/sys/block") / Path(medium.where).name / "device/delete").write_text("1")
    failed = until(lambda: running.state is CastState.FAILED)
    seen: dict[str, Any] = {
        "where": medium.where,
        "serial": medium.serial,
        "failed after": round(failed, 3),
        "message": running.message,
        "state": media.now.state,
        "deploy": lab.operator("GET", "/booting")["why"],
    }
    reader.join()
    seen["reader"] = reader.ended
    seen["unmounted after"] = round(until(lambda: mounts() == 0), 3)
    seen["open"] = open_files()
    scan()
    seen["again after"] = round(until(lambda: media.now.medium is not None), 3)
    image = lab.library.open("stick")
    seen["reads"] = len(image.read_stored(0)) > 0
    image.close()
    media.stop()
    seen["mounted at the end"] = mounts()
    print(f"CASE {json.dumps(seen)}", flush=True)


if __name__ == "__main__":
    main()

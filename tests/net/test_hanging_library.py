"""A server with a second library on a network mount whose server is gone: all else goes on."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.units import MIB

from tests.block.hangingmount import hanging_mount
from tests.support.castlab import WIRE, CastLab, cast_lab
from tests.support.images import blank, make_image, noise

pytestmark = pytest.mark.root

SIZE = 4 * MIB
SECONDS = 120
FLEETCAST = (sys.executable, "-m", "castserver")
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)


def ask(lab: CastLab, state: Path, *words: str) -> tuple[dict[str, object], float]:
    """What a command says, and the seconds that took."""
    began = time.monotonic()
    peer = lab.start("s", *FLEETCAST, *words, "--json", "--state", str(state))
    peer.process.wait(SECONDS)
    assert peer.reader is not None
    peer.reader.join(5)
    return peer.events[-1], time.monotonic() - began


def test_a_mount_that_hangs_is_told_and_a_cast_from_the_library_ends_well(tmp_path: Path) -> None:
    library, nas, state = tmp_path / "library", tmp_path / "nas", tmp_path / "state"
    library.mkdir()
    nas.mkdir()
    (tmp_path / "raw").write_bytes(noise(SIZE, 5))
    make_image(library, "lab", tmp_path / "raw", (Extent(0, SIZE),))
    target = blank(tmp_path / "target.raw", SIZE)
    with cast_lab("nas", 1) as lab, hanging_mount(nas):
        folders = ("--images", str(library), "--images", str(nas))
        where = ("--state", str(state), "--interface", WIRE)
        server = lab.start("s", *FLEETCAST, "serve", "--json", *where, *folders)
        server.until(lambda event: event.get("event") == "serving", SECONDS)
        refused, _ = ask(lab, state, "casts", "create", "--image", "nas/lab")
        assert refused["event"] == "error"
        assert re.search(f"{nas} (does|did) not answer", str(refused["error"]))
        made, _ = ask(lab, state, "casts", "create", "--image", "lab", "--start-clients", "1")
        assert made.get("event") != "error", made
        client = lab.start("r0", *CLIENT, "--target", str(target))
        assert client.result(SECONDS)["state"] == "done"
        server.process.terminate()
        server.process.wait(SECONDS)
    assert target.read_bytes() == (tmp_path / "raw").read_bytes()

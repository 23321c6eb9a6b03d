"""A server that comes back at another address and port: its clients find it, and know it by its key."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.units import MIB

from tests.support.castlab import WIRE, CastLab, Peer, cast_lab
from tests.support.images import blank, make_image, noise

pytestmark = pytest.mark.root

SIZE = 8 * MIB
SECONDS = 120
FLEETCAST = (sys.executable, "-m", "castserver")
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)


def serve(lab: CastLab, folder: Path, *more: str) -> tuple[Peer, dict[str, str]]:
    """The server, and what it said of itself."""
    where = ("--state", str(folder / "state"), "--images", str(folder / "images"))
    server = lab.start("s", *FLEETCAST, "serve", "--json", "--interface", WIRE, *where, *more)
    return server, server.until(lambda event: event.get("event") == "serving", SECONDS)


def test_another_address_and_port_and_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    content = noise(SIZE, 3)
    (tmp_path / "source.raw").write_bytes(content)
    make_image(tmp_path / "images", "lab", tmp_path / "source.raw", (Extent(0, SIZE),))
    target = blank(tmp_path / "target.raw", SIZE)
    with cast_lab("move", 1) as lab:
        server, before = serve(lab, tmp_path)
        client = lab.start("r0", *CLIENT, "--key", before["key"], "--target", str(target))
        client.until(lambda event: "state=ready" in event.get("line", ""), SECONDS)
        server.process.terminate()
        server.process.wait(SECONDS)
        lab.inside("s", "ip", "address", "flush", "dev", WIRE)
        lab.inside("s", "ip", "address", "add", "10.9.0.77/24", "brd", "+", "dev", WIRE)
        cast = ("--image", "lab", "--start-clients", "1", "--listen-https", "9443")
        server, after = serve(lab, tmp_path, *cast)
        assert after["url"] == "https://10.9.0.77:9443" != before["url"]
        assert (after["key"], after["certificate_digest"]) == (
            before["key"],
            before["certificate_digest"],
        )
        assert client.result(SECONDS)["state"] == "done"
        server.process.terminate()
        server.process.wait(SECONDS)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()

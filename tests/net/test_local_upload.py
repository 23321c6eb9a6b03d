"""A disk captured from the local dialogue to a real server over a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore.edge import run
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import verify_image
from castcore.units import MIB

from tests.net.namespaces import Cable, cable, ip
from tests.support.castlab import ENVIRONMENT
from tests.support.images import gpt_disk, noise, write_at
from tests.support.localmedium import medium_with_ledger
from tests.support.localtalk import local_client

pytestmark = pytest.mark.root


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("lup") as made:
        for space, address in ((made.left, "192.0.2.1"), (made.right, "192.0.2.2")):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", made.wire)
            ip("-n", space, "link", "set", made.wire, "up")
        yield made


@contextmanager
def serving(wire: Cable, folder: Path) -> Iterator[None]:
    (folder / "images").mkdir()
    words = ["ip", "netns", "exec", wire.left, sys.executable, "-m", "castserver", "serve", "--json"]
    words += ["--state", str(folder / "state"), "--images", str(folder / "images")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--interface", wire.wire],
            stdout=subprocess.PIPE,
            stderr=log,
            env=run.environment(ENVIRONMENT),
        )
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "serving"
            yield
        finally:
            run.stop(process)


def test_a_disk_is_captured_to_the_server_that_answers(wire: Cable, tmp_path: Path) -> None:
    source, medium = tmp_path / "source.raw", medium_with_ledger(tmp_path / "medium.img")
    gpt_disk(source, 40 * MIB)
    write_at(source, 4 * MIB, noise(8 * MIB, 3))
    prefix = ["ip", "netns", "exec", wire.right]
    with serving(wire, tmp_path):
        more = ["--interface", wire.wire]
        with local_client(medium, [source], *more, prefix=prefix) as talk:
            talk.answer("home", "upload")
            talk.wait(r"to the server .*https://192\.0\.2\.1:8443")
            talk.answer("sources", "1")
            talk.answer("name", "lesson")
            talk.answer("capture", "yes")
            name = talk.wait(r"local=done .*captured at \S+ as (\S+):")[1]
            assert talk.hang_up() == 0
    assert name.startswith("lesson")
    with Image.open(tmp_path / "images" / f"{name}.fcast") as image:
        verify_image(image)


def test_without_a_server_the_menu_says_so(wire: Cable, tmp_path: Path) -> None:
    medium = medium_with_ledger(tmp_path / "medium.img")
    more = ["--interface", wire.wire, "--search-seconds", "5"]
    prefix = ["ip", "netns", "exec", wire.right]
    with local_client(medium, [], *more, prefix=prefix) as talk:
        talk.answer("home", "upload")
        talk.wait(r'local=home .*message="no server was found within 5 s')
        assert talk.hang_up() == 0

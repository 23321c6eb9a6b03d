"""Boot files over HTTP as caches, loaders and firmware ask for them, by curl and by hand."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from castcore.boot import BootDecision, BootStage
from castcore.trust import digest
from castserver.machines.clients import Clients
from castserver.netboot.bootimages import BootImages
from castserver.netboot.bootonce import BootOnce
from castserver.services.bootservices import BootServices, BootSettings

from tests.net.bootwire import KERNEL, OURS, events, settings, there, wire
from tests.net.namespaces import Cable, inside
from tests.support import databases
from tests.support.bootevents import Events

__all__ = ["events", "settings", "wire"]  # fixtures
pytestmark = pytest.mark.root

BASE = f"http://{OURS}:8080"
HASHED = f"{BASE}/boot/files/{digest(KERNEL).hex()}/vmlinuz"
TAG = f'"{digest(KERNEL).hex()}"'
MACHINE = "52:54:00:0a:0b:0c"
IMAGE_BYTES = 24 << 20
STORM = 200


class Serving:
    """Boot services with orders that lie in a database; ``restart`` begins anew with what it holds."""

    def __init__(self, wire: Cable, settings: BootSettings, events: Events, folder: Path) -> None:
        self._wire, self._settings, self._events, self._folder = wire, settings, events, folder
        self._start()

    def _start(self) -> None:
        self._database = databases.at(self._folder / "server.sqlite")
        clients = Clients(self._database)
        images = BootImages(self._folder / "boot-images")
        self.once = BootOnce(self._database, images, clients, lambda: None)
        self._services = BootServices(self._settings, self.once, self._events, orders=self.once)
        inside(self._wire.left, self._services.start)

    def restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self._services.stop()
        self._database.close()


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    folder = tmp_path / "boot-images"
    folder.mkdir()
    data = os.urandom(510) + b"\x55\xaa" + os.urandom(IMAGE_BYTES - 512)
    (folder / "tool.img").write_bytes(data)
    return data


@pytest.fixture
def serving(wire: Cable, settings: BootSettings, events: Events, tmp_path: Path) -> Iterator[Serving]:
    made = Serving(wire, settings, events, tmp_path)
    yield made
    made.stop()


def head(wire: Cable, url: str, *options: str) -> tuple[int, dict[str, str]]:
    """Status and headers of what curl is answered; a GET unless the options say otherwise."""
    said = there(wire, "curl", "-s", "-D", "-", "-o", "/dev/null", *options, url).decode()
    status, *lines = said.strip().split("\r\n")
    return int(status.split()[1]), {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
    }


def test_what_goes_by_its_hash_may_be_kept_for_ever(wire: Cable, serving: Serving) -> None:
    assert there(wire, "curl", "-sf", HASHED) == KERNEL
    for options in ((), ("-I",)):
        status, headers = head(wire, HASHED, *options)
        assert status == 200
        assert headers["etag"] == TAG
        assert headers["cache-control"] == "public, max-age=31536000, immutable"
        assert headers["content-length"] == str(len(KERNEL))
    assert head(wire, HASHED.replace(digest(KERNEL).hex(), "0" * 64))[0] == 404


def test_a_plain_name_is_asked_for_again_and_a_script_always(wire: Cable, serving: Serving) -> None:
    status, headers = head(wire, f"{BASE}/boot/vmlinuz")
    assert (status, headers["etag"], headers["cache-control"]) == (200, TAG, "no-cache")
    status, headers = head(wire, f"{BASE}/boot/machine/{MACHINE}/pcbios.ipxe")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert "etag" not in headers


def test_who_has_it_is_told_so(wire: Cable, serving: Serving) -> None:
    for tags in (TAG, f'"x", W/{TAG}', "*"):
        status, headers = head(wire, HASHED, "-H", f"If-None-Match: {tags}")
        assert (status, headers["etag"]) == (304, TAG)
        assert "content-length" not in headers
    assert head(wire, HASHED, "-H", 'If-None-Match: "x"')[0] == 200
    # The condition comes before the range (RFC 9110 section 13.2.2).
    assert head(wire, HASHED, "-H", f"If-None-Match: {TAG}", "-r", "0-9")[0] == 304


def test_a_transfer_goes_on_only_with_the_same_file(wire: Cable, serving: Serving) -> None:
    def rest(tag: str) -> bytes:
        return there(wire, "curl", "-sf", "-r", "4999990-", "-H", f"If-Range: {tag}", HASHED)

    assert rest(TAG) == KERNEL[4999990:]
    for other in ('"x"', f"W/{TAG}", "Tue, 15 Nov 1994 12:45:26 GMT"):
        assert rest(other) == KERNEL


def test_scripts_name_files_that_are_there(wire: Cable, serving: Serving) -> None:
    for file in ("pcbios.ipxe", "efi.ipxe", "grub.cfg"):
        url = f"{BASE}/boot/machine/{MACHINE.replace(':', '-')}/{file}"
        script = there(wire, "curl", "-sf", url).decode()
        names = set(re.findall(r"boot/files/[0-9a-f]{64}/[\w.]+", script))
        assert {name.rpartition("/")[2] for name in names} == {"vmlinuz", "initrd.img", "trust.cpio"}
        for name in names:
            there(wire, "curl", "-sf", "-o", "/dev/null", f"{BASE}/{name}")


@pytest.mark.parametrize(
    "path",
    [
        "boot/machine/52:54:00:0a:0b/grub.cfg",
        "boot/machine/52:54:00:0a:0b:0g/grub.cfg",
        "boot/machine/..%2f..%2fetc/passwd",
        f"boot/machine/{MACHINE}/%2e%2e/grub.cfg",
        f"boot/machine/{MACHINE}/image",
        "boot/once/0123456789abcdef0123456789abcdef/tool.img",
        "boot/once/../boot-images/tool.img",
        "boot/files/tool.img",
    ],
)
def test_malformed_names_are_not_found(wire: Cable, serving: Serving, path: str) -> None:
    assert head(wire, f"{BASE}/{path}", "--path-as-is")[0] == 404


def test_a_storm_of_questions_is_answered(wire: Cable, serving: Serving) -> None:
    question = (
        f"GET /boot/files/{digest(KERNEL).hex()}/vmlinuz HTTP/1.1\r\nHost: x\r\n"
        f"If-None-Match: {TAG}\r\n\r\n"
    ).encode()

    def client(_: int) -> int:
        with socket.create_connection((OURS, 8080), timeout=30) as sock, sock.makefile("rb") as said:
            answered = 0
            for _ in range(5):
                sock.sendall(question)
                lines = list(iter(said.readline, b"\r\n"))
                answered += lines[0].split()[1] == b"304"
            return answered

    def storm() -> int:
        with ThreadPoolExecutor(STORM) as pool:
            return sum(pool.map(client, range(STORM)))

    assert inside(wire.right, storm) == 5 * STORM


def test_a_tree_replaced_under_the_server_is_never_mixed(
    wire: Cable, serving: Serving, settings: BootSettings, events: Events
) -> None:
    tree = settings.tree
    (tree / "new").write_bytes(b"another kernel")
    (tree / "new").rename(tree / "kernel")
    (tree / "initrd").write_bytes(b"changed in place")
    assert there(wire, "curl", "-sf", HASHED) == KERNEL
    assert head(wire, f"{BASE}/boot/initrd.img")[0] == 404
    told = events.wait_for(lambda e: e.stage is BootStage.FAILED)
    assert "boot/initrd.img is not served: it was changed" in told.detail


def order(serving: Serving) -> None:
    serving.once.order("tool.img", [MACHINE])


def waits(serving: Serving) -> bool:
    return serving.once.decide(MACHINE, "") is BootDecision.IMAGE


def soon(serving: Serving, *, waiting: bool) -> bool:
    """Whether the order comes to wait, or not, within some seconds."""
    end = time.monotonic() + 10
    while waits(serving) is not waiting and time.monotonic() < end:
        time.sleep(0.05)
    return waits(serving) is waiting


def test_firmware_gets_an_image_once(wire: Cable, serving: Serving, image: bytes) -> None:
    url = f"{BASE}/boot/machine/{MACHINE}/image"
    order(serving)
    status, headers = head(wire, url, "-I")
    assert (status, headers["content-type"]) == (200, "application/vnd.efi-img")
    assert headers["content-length"] == str(len(image))
    assert waits(serving)
    serving.restart()
    assert waits(serving)
    assert there(wire, "curl", "-sf", url) == image
    assert soon(serving, waiting=False)
    # Firmware that asks once more within the same boot has it again.
    assert there(wire, "curl", "-sf", url) == image
    assert not waits(serving)


@pytest.mark.parametrize("fits", [False, True])
def test_a_fetch_that_breaks_off_does_not_count(
    wire: Cable, serving: Serving, image: bytes, fits: bool
) -> None:
    order(serving)

    def break_off() -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect((OURS, 8080))
            # All of it fits into the server's own kernel, and not into ours: sent is not received.
            start = len(image) - (20_000 if fits else len(image))
            path = f"/boot/machine/{MACHINE}/image"
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={start}-\r\n\r\n".encode())
            sock.recv(1000)
            time.sleep(0.3)
            # Pulled out rather than closed.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    inside(wire.right, break_off)
    time.sleep(1)
    assert waits(serving)
    url = f"{BASE}/boot/machine/{MACHINE}/image"
    assert there(wire, "curl", "-sf", url) == image
    assert soon(serving, waiting=False)


def test_a_machine_reads_on_after_its_order_was_used(
    wire: Cable, serving: Serving, image: bytes, events: Events
) -> None:
    order(serving)
    script = there(wire, "curl", "-sf", f"{BASE}/boot/machine/{MACHINE}/pcbios.ipxe").decode()
    (url,) = re.findall(r"sanboot .* (http\S+)", script)
    assert waits(serving)
    assert there(wire, "curl", "-sf", "-r", "0-511", url) == image[:512]
    assert soon(serving, waiting=False)
    script = there(wire, "curl", "-sf", f"{BASE}/boot/machine/{MACHINE}/pcbios.ipxe").decode()
    assert "sanboot" not in script
    serving.restart()
    for first in (0, 5_000_000, len(image) - 512):
        part = f"{first}-{first + 511}"
        assert there(wire, "curl", "-sf", "-r", part, url) == image[first : first + 512]


def test_an_image_changed_since_it_was_ordered_is_refused(
    wire: Cable, serving: Serving, image: bytes, events: Events, tmp_path: Path
) -> None:
    order(serving)
    (tmp_path / "boot-images/tool.img").write_bytes(b"x" + image[1:])
    assert head(wire, f"{BASE}/boot/machine/{MACHINE}/image")[0] == 404
    told = events.wait_for(lambda e: e.stage is BootStage.FAILED)
    assert told.mac == MACHINE

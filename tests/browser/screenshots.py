"""Pictures of the console for README and docs: a real server casts to eight real clients.

``python -m tests.browser.screenshots [FOLDER]`` (root): `make screenshots`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.disk.loopdevice import writable_loop
from castcore.edge.image.capture import capture
from castcore.edge.medium import open_medium
from castcore.edge.medium.mounting import mounted
from castcore.edge.run import run
from castcore.medium import DataFileSystem
from castcore.units import MIB
from playwright.sync_api import Page, expect, sync_playwright

from tests.net.namespaces import ip
from tests.net.test_server_media import loop
from tests.support.browser import NARROW, PATIENCE, WIDE, Browser
from tests.support.castlab import ROOT, WIRE
from tests.support.castroom import CastRoom, cast_room
from tests.support.deploymedia import LEAST, bare_medium
from tests.support.images import blank, noise
from tests.support.licences import ISSUER
from tests.support.licensedmedium import add_licences

FOLDER = ROOT / "docs/images"
MACHINES, LICENCES = 8, 40
DISK, SMALL_DISK = 256 * MIB, 64 * MIB
ESP, SYSTEM = Extent(MIB, 32 * MIB), Extent(33 * MIB, 222 * MIB)
IN_USE = 96
SLOW, LOSSY, SMALL = 4, 5, 7
SECONDS = 240.0
# Share of the image, in percent, that most machines have when the pictures are taken.
MOMENT = 55


@dataclass(frozen=True)
class Picture:
    """One picture: what of the console, for whom; ``place`` "cast" is the page of the running cast."""

    name: str
    place: str
    language: str = "en"
    width: int = WIDE
    height: int = 860
    scheme: str = "light"


PICTURES = (
    Picture("console-cast", "cast", height=1330),
    Picture("console-dark", "/", scheme="dark"),
    Picture("console-japanese", "/", language="ja"),
    Picture("console-phone", "cast", width=NARROW, height=844),
)


def main(folder: Path) -> None:
    """Make every picture in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="fleetcast-") as home,
        sync_playwright() as playwright,
        cast_room(playwright, Path(home), MACHINES) as room,
        ExitStack() as stack,
    ):
        expect.set_options(timeout=2 * PATIENCE)
        medium = room.folder / "room12.img"
        make_medium(medium)
        stick = stack.enter_context(loop(medium))
        trusted = ("--licence-issuer", ISSUER.public.hex())
        browser = room.serve("--name", "school", "--media", stick, *trusted, "--rate", "4")
        switch_on(room, stack)
        name_machines(room)
        take(room, browser, folder)


def make_medium(path: Path) -> None:
    """A medium with an image of a disk that was divided as PCs' are, and licences for it."""
    source = path.with_name("source.raw")
    blank(source, DISK)
    for number, (part, kind, label) in enumerate(((ESP, "ef00", "EFI"), (SYSTEM, "8300", "system")), 1):
        first, last = part.start // 512, part.end // 512 - 1
        new = [f"--new={number}:{first}:{last}", f"--typecode={number}:{kind}"]
        run(["sgdisk", *new, f"--change-name={number}:{label}", str(source)], timeout=60)
    with writable_loop(str(source), ESP) as device:
        run(["mkfs.vfat", "-n", "EFI", device], timeout=60)
    with writable_loop(str(source), SYSTEM) as device:
        run(["mkfs.ext4", "-q", "-F", "-L", "system", device], timeout=60)
        with mounted(device, DataFileSystem.EXT4, writable=True) as root:
            for number in range(IN_USE):
                (root / f"file{number}").write_bytes(noise(MIB, number))
    bare_medium(path, size=LEAST + DISK)
    with open_medium(path, writable=True) as opened:
        capture(source, opened.images / "office-2026.fcast")
        add_licences(opened, "office*", LICENCES)


def switch_on(room: CastRoom, stack: ExitStack) -> None:
    """Start eight clients: one behind a slow port, one that loses packets, one with too small a disk."""
    for number in range(MACHINES):
        space = room.lab.space(f"r{number}")
        ip("-n", space, "link", "set", WIRE, "address", mac(number))
        disk = blank(room.folder / f"disk{number}.raw", SMALL_DISK if number == SMALL else DISK)
        loop = stack.enter_context(writable_loop(str(disk), Extent(0, disk.stat().st_size)))
        room.machine(number, Path(loop))
    room.lab.shape(f"hub/r{SLOW}", 12, queue=256 * 1024)
    room.lab.lose(LOSSY, 30)


def mac(number: int) -> str:
    """The address of a machine's network card."""
    return f"52:54:00:12:34:{number + 1:02x}"


def name_machines(room: CastRoom) -> None:
    """Call them PC01 and so on, when all have come."""
    end = time.monotonic() + SECONDS
    while len(room.get("clients")) < MACHINES and time.monotonic() < end:
        time.sleep(0.5)
    for number in range(MACHINES):
        room.command("machines", "rename", mac(number), f"PC{number + 1:02}")


def take(room: CastRoom, browser: Browser, folder: Path) -> None:
    """Make the cast as an operator does; take the pictures in the middle of it."""
    page = browser.open()
    page.get_by_role("combobox", name="Image").select_option("medium/office-2026")
    page.get_by_role("button", name="Make the cast…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make the cast").click()
    expect(page.locator("#live")).to_contain_text(f"{MACHINES - 1} joined")
    [cast] = room.get("casts")
    pages = [(picture, opened(browser, picture, cast["cast"])) for picture in PICTURES]
    page.get_by_role("button", name="Start…").click()
    dialog.get_by_role("button", name="cast").click()
    until_half_way(room, page)
    for picture, shown in pages:
        keep(shown, folder / f"{picture.name}.png")


def until_half_way(room: CastRoom, page: Page) -> None:
    """Return when most machines have ``MOMENT`` percent of the image."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        reports = [part["report"] or {"done": 0, "total": 1} for part in room.get("casts")[0]["parts"]]
        far = [one for one in reports if one["done"] * 100 >= one["total"] * MOMENT]
        if len(far) >= MACHINES - 3:
            return
        page.wait_for_timeout(300)
    raise AssertionError("the machines did not get half way")


def opened(browser: Browser, picture: Picture, cast: str) -> Page:
    """The page of a picture, logged in."""
    path = f"/casts/{cast}" if picture.place == "cast" else picture.place
    return browser.open(
        path,
        language=picture.language,
        width=picture.width,
        height=picture.height,
        scheme=picture.scheme,
    )


def keep(page: Page, path: Path) -> None:
    """What the window shows, in as few colours as it needs: a fifth of the bytes."""
    page.screenshot(path=path)
    run(["pngquant", "--force", "--speed=1", "--output", str(path), "128", str(path)], timeout=60)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

"""What docs/server.md tells an operator to type, typed in its order beside a running server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from castcore.control import API
from castcore.disk import Extent
from castcore.edge.cast.control import HttpsCastControl
from castcore.errors import ExitCode
from castcore.trust import SigningKey
from castcore.units import KIB, MIB
from castserver.accounts.operatortoken import TOKEN_FILE

from tests.net.namespaces import Cable, inside
from tests.net.test_server_serve import Served, serving, wire
from tests.support.boottrees import tree
from tests.support.doccommands import ROOT, Told, told
from tests.support.figures import tell
from tests.support.images import make_image, noise
from tests.support.registering import registered
from tests.support.serverlab import registration

__all__ = ["wire"]  # a fixture

pytestmark = pytest.mark.root

PAGE = ROOT / "docs/server.md"
SECONDS, WAITED = 60.0, 5.0
SIZE, FLOPPY = 4 * MIB, 1440 * KIB
# What a program ends with that Ctrl+C ended.
INTERRUPTED = 130
# Those that start a server or write a file of it: other tests run them.
ELSEWHERE = {"serve", "database", "unit", "doctor"}
# What the room of this test cannot do, and how it is refused.
REFUSED = {
    "machines reboot ID": (ExitCode.REFUSED, "takes part in cast"),
    "casts retry ID": (ExitCode.REFUSED, "no such machine of cast"),
    "casts wait [ID]": (ExitCode.FAILED, "cancelled by the operator"),
    "captures start m4716fe48 data --disk /dev/sdb --full-sectors": (ExitCode.REFUSED, "/dev/sdb"),
}
# What waits for what nobody does here is ended as Ctrl+C ends it.
WAITING = {"captures start m4716fe48 office --wait"}
TYPED = [one for one in told(PAGE) if one.whole and one.words[1] not in ELSEWHERE]


class Room:
    """A server with an image, a boot tree and two machines; what a reader puts for the page's words."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.key, self.machine, self.https = SigningKey.generate(), "", served.https()
        self.before: dict[str, Callable[[], object]] = {
            "casts start ID": self.join,
            "machines approval on": self.free,
            "captures start ID office": self.free,
            "machines group PC01 PC02 --add ROOM1": self.name_the_other,
            "machines remove PC01": self.replace,
            "captures start m4716fe48 office --wait": self.free,
            "captures start m4716fe48 data --disk /dev/sdb --full-sectors": self.free,
            "captures start m4716fe48 system --partition 3": self.free,
        }
        self.after: dict[str, Callable[[], object]] = {
            "machines deny ID": self.let_in,
            "machines approval on": lambda: self.command("machines", "approval", "off"),
        }

    def begin(self) -> None:
        """Two machines are here; one has handed a log in."""
        self.come()
        log = {"reason": "done", "kernel": "", "journal": "started"}

        def more() -> str:
            self.https.post_json(f"{API}/clients/{self.machine}/log", log)
            return registered(self.served.https(), registration(2))[0]

        self.other = inside(self.served.wire.right, more, timeout=SECONDS)

    def come(self) -> None:
        """The first machine starts our client."""
        own = partial(registered, self.served.https(), registration(1, firmware="bios"), self.key)
        self.machine, self.https = inside(self.served.wire.right, own, timeout=SECONDS)

    def command(self, *words: str) -> Any:
        return self.served.command(*words)

    def free(self) -> None:
        """Nothing goes on any more, and the machine is here."""
        for kind, mine in (("casts", "cast"), ("captures", "capture")):
            for one in self.ask(kind):
                if one["ended"] is None:
                    self.command(kind, "cancel", one[mine])
        self.come()

    def join(self) -> None:
        """The machine joins the newest cast."""
        path = f"{API}/casts/{self.ask('casts')[0]['cast']}"

        def both() -> None:
            HttpsCastControl(self.https, path.rpartition("/")[2]).descriptor()
            self.https.post_json(f"{path}/licence", {})
            self.https.post_json(f"{path}/join", {})

        inside(self.served.wire.right, both, timeout=SECONDS)

    def let_in(self) -> None:
        """Who was denied is let in after all."""
        self.command("machines", "approve", self.machine)
        self.come()

    def name_the_other(self) -> None:
        self.command("machines", "rename", self.other, "PC02")

    def replace(self) -> None:
        """PC01 has another name now, and a machine that was never met is called so."""
        self.command("machines", "rename", "PC01", "PC03")
        self.command("machines", "add", "PC01", "--mac", "52:54:00:99:00:01")

    def ask(self, kind: str) -> list[dict[str, Any]]:
        """All casts or captures, the newest first."""
        token = (self.served.state / TOKEN_FILE).read_text().strip()
        https = self.served.https(token)
        found = inside(self.served.wire.left, lambda: https.get_json(f"{API}/{kind}"))
        return sorted(found, key=lambda one: one["created"], reverse=True)

    def words(self, one: Told) -> list[str]:
        """The command with what the reader has for the page's examples."""
        said = [word.strip("[]").removesuffix("...") for word in one.words[1:]]
        return [self._own(word, *said[:2]) for word in said if word]

    def _own(self, word: str, command: str, action: str = "") -> str:
        if word == "ID" and (command == "casts" or (command == "captures" and action == "cancel")):
            return str(self.ask(command)[0][command.removesuffix("s")])
        if word == "CODE":
            return str(self.command("machines", "show", self.machine)["trust"]["code"])
        known = {"ID": self.machine, "m4716fe48": self.machine, "eth1": self.served.wire.wire}
        return {**known, "10.0.0.20": "10.77.0.20"}.get(word, word)

    def type(self, one: Told) -> tuple[int, str]:
        """Type it; its exit code, and what it said."""
        where = ["--server", self.served.said["url"], "--state", str(self.served.state)]
        line = ["ip", "netns", "exec", self.served.wire.left, sys.executable, "-m", "castserver"]
        process = subprocess.Popen(
            [*line, *self.words(one), *where],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = process.communicate(timeout=WAITED if typed(one) in WAITING else SECONDS)
        except subprocess.TimeoutExpired:
            assert typed(one) in WAITING, f"{one} has no end"
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said


def typed(one: Told) -> str:
    """The command without the program."""
    return " ".join(one.words[1:])


@pytest.fixture
def room(wire: Cable, tmp_path: Path) -> Iterator[Room]:
    images, boots = tmp_path / "images", tmp_path / "tree"
    images.mkdir()
    boots.mkdir()
    (tmp_path / "raw").write_bytes(noise(SIZE, 7))
    make_image(images, "office", tmp_path / "raw", (Extent(0, SIZE),))
    floppy = bytearray(noise(FLOPPY, 3))
    floppy[510:512] = b"\x55\xaa"
    (tmp_path / "bios-update.img").write_bytes(floppy)
    with serving(wire, images, tmp_path / "state", "--boot-tree", str(tree(boots))) as served:
        made = Room(served, tmp_path)
        made.begin()
        yield made


def test_the_page_can_be_typed(room: Room) -> None:
    wrong = []
    for one in TYPED:
        room.before.get(typed(one), lambda: None)()
        code, said = room.type(one)
        room.after.get(typed(one), lambda: None)()
        wanted, text = REFUSED.get(typed(one), (ExitCode.OK, ""))
        well = code == wanted and text in said
        if typed(one) in WAITING:
            well = code == INTERRUPTED
        if not well:
            wrong.append((str(one), code, said))
    tell(page=PAGE.name, commands=len(TYPED), refused=len(REFUSED), interrupted=len(WAITING))
    assert wrong == []

"""TFTP as four real clients speak it, and as a strange one might: whole files, no other, no writing."""

from __future__ import annotations

import hashlib
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import BootEvent
from castcore.edge import run
from castserver.services.bootfiles import BootFile, BootFiles
from castserver.services.tftp import Tftp

from tests.net.namespaces import inside
from tests.support.bootroom import FILES, GOOD, SERVER, BootRoom, boot_room, make_tree

pytestmark = pytest.mark.root

SHIM, GRUB = FILES[b"shimx64.efi"], FILES[b"grubx64.efi"]
# busybox keeps its request in the memory of a block, so it asks for no very small ones.
SIZES = (None, 128, 512, 1468, 65464)
OUTSIDE = [
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\etc\\passwd",
    "%2e%2e/%2e%2e/etc/passwd",
    "grub/../../../etc/passwd",
    "tree.json",
    "kernel",
    "link",
    "/proc/self/environ",
]


def tftp_hpa(verb: str, remote: str, local: str, size: int | None) -> list[str]:
    del size  # It asks for none.
    names = [remote, local] if verb == "get" else [local, remote]
    return ["tftp", "-m", "binary", SERVER, "-c", verb, *names]


def curl(verb: str, remote: str, local: str, size: int | None) -> list[str]:
    options = ["--tftp-no-options"] if size is None else ["--tftp-blksize", str(size)]
    way = ["-o", local] if verb == "get" else ["-T", local]
    return [
        "curl",
        "-s",
        "--path-as-is",
        "--max-time",
        "20",
        *options,
        *way,
        f"tftp://{SERVER}/{remote}",
    ]


def busybox(verb: str, remote: str, local: str, size: int | None) -> list[str]:
    options = [] if size is None else ["-b", str(size)]
    way = "-g" if verb == "get" else "-p"
    return ["busybox", "tftp", way, "-r", remote, "-l", local, *options, SERVER]


def atftp(verb: str, remote: str, local: str, size: int | None) -> list[str]:
    options = ["tsize", "timeout 3", "windowsize 8"]
    options += [] if size is None else [f"blksize {size}"]
    words = [word for option in options for word in ("--option", option)]
    return ["atftp", *words, f"--{verb}", "-r", remote, "-l", local, SERVER]


CLIENTS: list[Callable[[str, str, str, int | None], list[str]]] = [tftp_hpa, curl, busybox, atftp]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("above") / "tree"
    tree.mkdir()
    make_tree(tree)
    (tree / "link").symlink_to("/etc/passwd")
    return tree


@pytest.fixture(scope="module")
def room(folder: Path) -> Iterator[BootRoom]:
    with boot_room("tftp", "proxy", folder) as made:
        yield made


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def client(request: pytest.FixtureRequest) -> Any:
    return request.param


def there(room: BootRoom, command: list[str]) -> None:
    """Run a client; how it ends is told by what it left (tftp-hpa's status is 0 whatever happened)."""
    with suppress(run.ProgramFailed):
        run.run(["ip", "netns", "exec", room.cable.right, *command], timeout=40)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"blksize-{size}")
def test_every_client_gets_every_byte(
    room: BootRoom, tmp_path: Path, client: Any, size: int | None
) -> None:
    for name in ("shimx64.efi", "/undionly.kpxe"):
        there(room, client("get", name, str(tmp_path / "got"), size))
        assert (tmp_path / "got").read_bytes() == FILES[name.lstrip("/").encode()]
        (tmp_path / "got").unlink()


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_client_gets_another_file(room: BootRoom, tmp_path: Path, client: Any, name: str) -> None:
    there(room, client("get", name, str(tmp_path / "got"), 512))
    # busybox and atftp leave the empty file that they opened.
    assert not (tmp_path / "got").exists() or (tmp_path / "got").read_bytes() == b""


@pytest.mark.parametrize("name", ["shimx64.efi", "mine", "../mine"])
def test_no_client_can_write(
    room: BootRoom, folder: Path, tmp_path: Path, client: Any, name: str
) -> None:
    before = fingerprints(folder.parent)
    (tmp_path / "mine").write_bytes(b"x" * 2000)
    there(room, client("put", name, str(tmp_path / "mine"), 512))
    assert fingerprints(folder.parent) == before
    there(room, curl("get", "shimx64.efi", str(tmp_path / "got"), 512))
    assert (tmp_path / "got").read_bytes() == SHIM


def fingerprints(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Talk:
    """A client that sends what a test says."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((GOOD, 0))
        self.sock.settimeout(5)
        self.transfer: tuple[str, int] = (SERVER, 69)

    def ask(self, *words: bytes, opcode: int = 1) -> bytes:
        """The first answer to a request."""
        self.sock.sendto(request(*words, opcode=opcode), (SERVER, 69))
        return self.hear()

    def hear(self) -> bytes:
        data, self.transfer = self.sock.recvfrom(70000)
        return data

    def say(self, data: bytes) -> None:
        self.sock.sendto(data, self.transfer)

    def silent(self, seconds: float) -> bool:
        """Nothing comes for so long."""
        self.sock.settimeout(seconds)
        try:
            return not self.sock.recv(70000)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(5)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.say(b"\0\5\0\0enough\0")
        self.sock.close()


def request(*words: bytes, opcode: int = 1) -> bytes:
    return opcode.to_bytes(2, "big") + b"\0".join(words) + b"\0"


def ack(block: int) -> bytes:
    return b"\0\4" + (block % 65536).to_bytes(2, "big")


def block(number: int, content: bytes = SHIM, size: int = 512) -> bytes:
    return b"\0\3" + (number % 65536).to_bytes(2, "big") + content[(number - 1) * size : number * size]


ASKED = (b"shimx64.efi", b"octet")


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ((b"blksize", b"0"), None),
        ((b"blksize", b"7"), None),
        ((b"blksize", b"8"), b"blksize\x008\0"),
        ((b"BLKSIZE", b"1024"), b"blksize\x001024\0"),
        ((b"blksize", b"65464"), b"blksize\x001468\0"),
        ((b"blksize", b"65465"), None),
        ((b"blksize", b"x"), None),
        ((b"blksize", b""), None),
        ((b"blksize",), None),
        ((b"tsize", b"0"), b"tsize\x0090000\0"),
        ((b"tsize", b"x"), b"tsize\x0090000\0"),
        ((b"timeout", b"5", b"windowsize", b"16"), None),
        ((b"windowsize", b"4", b"blksize", b"512"), b"blksize\x00512\0"),
        ((b"blksize", b"1024", b"blksize", b"2048"), b"blksize\x001468\0"),
        ((b"multicast", b"", b"rollover", b"0"), None),
    ],
)
def test_only_what_was_asked_for_and_can_be_is_granted(
    room: BootRoom, options: tuple[bytes, ...], answer: bytes | None
) -> None:
    def talk() -> bytes:
        with Talk() as client:
            return client.ask(*ASKED, *options)

    assert inside(room.cable.right, talk) == (block(1) if answer is None else b"\0\6" + answer)


@pytest.mark.parametrize(
    ("opcode", "mode", "code"),
    [(1, b"netascii", 4), (1, b"mail", 4), (1, b"", 4), (2, b"octet", 2), (2, b"netascii", 2)],
)
def test_other_modes_and_writing_are_refused(
    room: BootRoom, opcode: int, mode: bytes, code: int
) -> None:
    def talk() -> bytes:
        with Talk() as client:
            return client.ask(b"shimx64.efi", mode, opcode=opcode)

    said = inside(room.cable.right, talk)
    assert said[:4] == b"\0\5\0" + bytes((code,))


def test_an_acknowledgement_that_comes_twice_doubles_nothing(room: BootRoom) -> None:
    """RFC 1123 section 4.2.3.1, the sorcerer's apprentice."""

    def talk() -> list[bytes]:
        with Talk() as client:
            heard = [client.ask(*ASKED)]
            for number in range(1, 40):
                client.say(ack(number))
                client.say(ack(number))
                heard.append(client.hear())
            assert client.silent(0.5)
            return heard

    assert inside(room.cable.right, talk) == [block(number) for number in range(1, 41)]


def test_a_lost_block_comes_again_however_often_it_is_asked_for(room: BootRoom) -> None:
    def talk() -> bytes:
        with Talk() as client:
            client.ask(*ASKED)
            client.say(ack(1))
            assert client.hear() == block(2)
            # It never arrived: the client repeats itself, more often than the server sends again.
            for _ in range(12):
                client.say(ack(1))
                if not client.silent(0.2):
                    return b"again"
            return b""

    assert inside(room.cable.right, talk) == b"again"


def test_what_no_reader_sends_ends_nothing(room: BootRoom) -> None:
    def talk() -> bytes:
        with Talk() as client:
            client.ask(*ASKED)
            for data in (b"", b"\0", b"\0\4", b"\0\3\0\1x", b"\0\6\0", b"\xff" * 600, request(*ASKED)):
                client.say(data)
            client.say(ack(7))
            client.say(ack(1) + b"padding")
            return client.hear()

    assert inside(room.cable.right, talk) == block(2)


def test_a_request_that_comes_twice_is_one_and_a_new_one_begins_anew(room: BootRoom) -> None:
    def talk() -> list[bytes]:
        with Talk() as client:
            client.sock.sendto(request(*ASKED), (SERVER, 69))
            heard = [client.ask(*ASKED)]
            assert client.silent(0.5)
            client.say(ack(1))
            heard.append(client.hear())
            heard.append(client.ask(*ASKED))  # The machine was switched off and on.
            client.say(ack(1))
            heard.append(client.hear())
            heard.append(client.ask(b"grubx64.efi", b"octet"))
            assert client.silent(0.5)
            return heard

    want = [block(1), block(2), block(1), block(2), block(1, GRUB)]
    assert inside(room.cable.right, talk) == want


def test_a_file_of_more_blocks_than_can_be_counted(room: BootRoom) -> None:
    def talk() -> bytes:
        with Talk() as client:
            assert client.ask(b"grubx64.efi", b"octet", b"blksize", b"8")[:2] == b"\0\6"
            got, number = [], 0
            while True:
                client.say(ack(number))
                data = client.hear()
                number += 1
                assert data[:4] == b"\0\3" + (number % 65536).to_bytes(2, "big")
                got.append(data[4:])
                if len(data) < 12:
                    client.say(ack(number))
                    return b"".join(got)

    assert inside(room.cable.right, talk) == GRUB


def test_one_address_cannot_take_every_place(room: BootRoom, tmp_path: Path) -> None:
    def hog() -> int:
        served = 0
        talks = [Talk() for _ in range(80)]
        for client in talks:
            client.sock.sendto(request(*ASKED), (SERVER, 69))
        for client in talks:
            client.sock.settimeout(0.3)
            with suppress(TimeoutError):
                client.hear()
                served += 1
        for client in talks:
            client.__exit__()
        return served

    assert 20 <= inside(room.cable.right, hog) < 80
    there(room, curl("get", "shimx64.efi", str(tmp_path / "got"), 512))
    assert (tmp_path / "got").read_bytes() == SHIM


def test_a_request_from_where_there_is_no_way_back_is_dropped() -> None:
    content = BootFile(len(SHIM), lambda: io.BytesIO(SHIM))
    told: list[BootEvent] = []
    # From a loopback address no other network can be reached.
    tftp = Tftp("127.0.0.1", BootFiles({"shimx64.efi": content}, {}), told.append, port=0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for port in range(1, 100):
        tftp._open(request(*ASKED), ("192.0.2.9", port))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not told
    tftp.stop()

"""A disk of an image read at any place, and served over NBD: the bytes a restore would write."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from castcore.disk import Extent, TableType
from castcore.edge.image.diskview import ChunkCache, DiskView
from castcore.edge.image.imagefile import Image
from castcore.edge.nbd.server import NbdServer, listening, listening_at
from castcore.errors import BadImage, FleetcastError, PortTaken, Refused
from castcore.units import KIB, MIB

from tests.support.images import blank, flip, gpt_disk, make_image, noise, write_at

SIZE = 5 * MIB + 4 * KIB
# Within one chunk, over a chunk's end, a chunk of zeros, the disk's last bytes.
IN_USE = (
    Extent(8 * KIB, 4 * KIB),
    Extent(MIB - 4 * KIB, 12 * KIB),
    Extent(3 * MIB, MIB),
    Extent(SIZE - 512, 512),
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = blank(tmp_path / "disk.raw", SIZE)
    for number, extent in enumerate(IN_USE):
        if extent.start != 3 * MIB:
            write_at(path, extent.start, noise(extent.length, number))
    return path


@pytest.fixture
def image(raw: Path, tmp_path: Path) -> Iterator[Image]:
    write_at(raw, 2 * MIB, noise(1000, 9))  # what is not in use is not in the image
    with Image.open(make_image(tmp_path, "any", raw, IN_USE)) as opened:
        yield opened


def expected(raw: Path) -> bytes:
    data, out = raw.read_bytes(), bytearray(SIZE)
    for extent in IN_USE:
        out[extent.start : extent.end] = data[extent.start : extent.end]
    return bytes(out)


def test_any_range_reads_as_restored(image: Image, raw: Path) -> None:
    view, whole = DiskView(image, 0, ChunkCache(image, 2)), expected(raw)
    assert view.read(0, SIZE) == whole
    rng = random.Random(1)
    for _ in range(300):
        at = rng.randrange(SIZE)
        length = min(SIZE - at, rng.choice((0, 1, 512, 5000, 2 * MIB)))
        assert view.read(at, length) == whole[at : at + length]


def test_runs_tell_what_may_hold_data(image: Image) -> None:
    view = DiskView(image, 0, ChunkCache(image))
    # The chunk of zeros is in use, and yet reads as zeros.
    assert view.data == (IN_USE[0], IN_USE[1], IN_USE[3])
    assert view.runs(0, 16 * KIB, 9) == [(8 * KIB, False), (4 * KIB, True), (4 * KIB, False)]
    assert view.runs(9 * KIB, 16 * KIB, 1) == [(3 * KIB, True)]
    assert view.runs(0, 1 << 40, 99)[-1] == (512, True)
    rng = random.Random(2)
    for _ in range(200):
        at = rng.randrange(SIZE)
        runs = view.runs(at, rng.randrange(1, SIZE), 99)
        for length, is_data in runs:
            assert length > 0
            assert is_data or not any(view.read(at, length))
            at += length


def test_a_gpt_disk_has_its_backup_table(tmp_path: Path) -> None:
    raw = tmp_path / "gpt.raw"
    partition, in_use = gpt_disk(raw, 4 * MIB)
    path = make_image(tmp_path, "gpt", raw, in_use, table=TableType.GPT, partitions=(partition,))
    with Image.open(path) as image:
        view = DiskView(image, 0, ChunkCache(image))
        assert view.read(0, 4 * MIB) == raw.read_bytes()
        assert view.data[-1].end == 4 * MIB


@contextmanager
def served(image: Image, told: list[FleetcastError]) -> Iterator[int]:
    with listening("127.0.0.1", 0) as listener:
        server = NbdServer(listener, {"": DiskView(image, 0, ChunkCache(image))}, told.append)
        runner = threading.Thread(target=server.run)
        runner.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.stop()
            runner.join(10)
            assert not runner.is_alive()


class Client:
    """Connected, in the old way or (structured) the new one."""

    def __init__(self, port: int, *, structured: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")
        self.file.read(18)
        self.socket.sendall(struct.pack(">I", 3))
        if structured:
            self.socket.sendall(struct.pack(">QII", 0x49484156454F5054, 8, 0))
            self.file.read(20)
        self.socket.sendall(struct.pack(">QII", 0x49484156454F5054, 1, 0))
        assert struct.unpack(">QH", self.file.read(10))[0] == SIZE

    def ask(self, offset: int, length: int) -> None:
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 9, offset, length))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_a_damaged_chunk_is_an_error_to_who_reads_it_and_to_nobody_else(image: Image, raw: Path) -> None:
    flip(image.path / "pack-0000", image.index.records[0].pack_offset + 5)
    told: list[FleetcastError] = []
    with served(image, told) as port:
        simple, structured = Client(port, structured=False), Client(port, structured=True)
        simple.ask(0, 512)
        assert struct.unpack(">IIQ", simple.file.read(16)) == (0x67446698, 5, 9)
        simple.ask(SIZE - 512, 512)
        assert simple.file.read(528)[16:] == expected(raw)[-512:]
        structured.ask(0, 512)
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", structured.file.read(20))
        assert (magic, flags, kind, cookie) == (0x668E33EF, 1, 0x8001, 9)
        assert b"pack-0000 is damaged" in structured.file.read(length)
        structured.ask(SIZE - 512, 512)
        assert structured.file.read(20 + 8 + 512 + 20)[28:540] == expected(raw)[-512:]
        simple.close()
        structured.close()
    assert all(isinstance(error, BadImage) for error in told)
    assert len(told) == 2


def test_a_unix_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with listening_at(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(PortTaken), listening_at(path):
            pass
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(Refused), listening_at(path):
        pass
    assert path.read_text() == "mine"

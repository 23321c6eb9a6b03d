"""One cast in a client whose server and network do as a test says; its disks are files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from castclient import job as jobs
from castclient.job import CastJob
from castclient.model import CastNow
from castcore.cast.blocks import lengths_digest
from castcore.cast.chunkset import ChunkSet
from castcore.cast.descriptor import CastDescriptor, encode_descriptor
from castcore.cast.values import ReceiveResult
from castcore.control import ClientState
from castcore.disk import DiskFacts, Extent
from castcore.edge.cast import receiver
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import restore
from castcore.errors import DiskFailed, NetworkFailed, Untrusted
from castcore.image import ChunkKind
from castcore.progress import Progress
from castcore.trust import SigningKey, digest
from castcore.units import MIB

from tests.support.images import blank, flip, make_image, noise, write_at

KEY = SigningKey(bytes(32))
COUNT, ZERO = 6, 4
OLD = b"\xaa"

Receive = Callable[..., ReceiveResult]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    raw = blank(tmp_path / "source.raw", COUNT * MIB)
    for chunk in range(COUNT):
        write_at(raw, chunk * MIB, bytes(MIB) if chunk == ZERO else noise(MIB, chunk))
    with Image.open(make_image(tmp_path, "lab", raw, (Extent(0, COUNT * MIB),))) as opened:
        yield opened


class FakeControl:
    """A server that answers at once, and remembers what it is told."""

    def __init__(self, image: Image) -> None:
        self._image, self.remembered = image, b""
        self.fetched = self.claims = 0

    def descriptor(self) -> bytes:
        lengths = self._image.index.stored_lengths()
        return encode_descriptor(
            CastDescriptor(
                session=1,
                name="c1",
                server_key=KEY.public,
                session_key=KEY.public,
                root=self._image.manifest.index_digest,
                manifest_digest=digest(self._image.manifest_bytes),
                lengths_digest=lengths_digest(lengths),
                chunk_count=len(lengths),
                stored_bytes=sum(lengths),
                symbol_size=1424,
                group="239.193.0.1",
                port=7100,
                feedback="192.0.2.1:7101",
            ),
            KEY,
        )

    def manifest(self) -> bytes:
        return self._image.manifest_bytes

    def index(self) -> bytes:
        return self._image.index_bytes

    def recall(self, _target: str) -> bytes:
        return self.remembered

    def remember(self, _target: str, held: bytes) -> None:
        self.remembered = held

    def claim_licence(self) -> None:
        self.claims += 1


class Machine:
    """A machine with these disks; ``receive`` is what happens on its network."""

    def __init__(self, image: Image, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.image, self.control = image, FakeControl(image)
        self.disks: tuple[DiskFacts, ...] = tuple(self._disk(folder, name) for name in ("one", "two"))
        self.shown: list[CastNow] = []
        self._patch = monkeypatch

    def _disk(self, folder: Path, name: str) -> DiskFacts:
        path = folder / f"{name}.raw"
        path.write_bytes(OLD * (COUNT * MIB))
        return DiskFacts(str(path), f"serial-{name}", COUNT * MIB, 512)

    def cast(
        self, receive: Receive, *, update: bool = False, before: tuple[DiskFacts, ...] = ()
    ) -> tuple[DiskFacts, ...]:
        """Take part; the disks that were written. The first that is there is the one to take."""
        self._patch.setattr(receiver, "receive", receive)
        chosen: list[tuple[DiskFacts, ...]] = []
        end = CastJob(
            "c1",
            cast("HttpsCastControl", self.control),
            KEY.public,
            interface=lambda: "eth0",
            disks=lambda: self.disks[:1],
            named=True,
            update=update,
            show=self.shown.append,
            planned=lambda _: None,
            chosen=chosen.append,
            before=before,
        ).run()
        end.peers.close()
        return chosen[0]

    def all_of_it(
        self, _control: Any, _cast: Any, lengths: Any, sink: Any, **given: Any
    ) -> ReceiveResult:
        """A network that brings what is lacking."""
        held: ChunkSet = given["held"]
        for chunk in self.image.index.chunks_of_kind(ChunkKind.DATA):
            if not held.mask()[chunk]:
                sink.put(chunk, memoryview(self.image.read_stored(chunk)))
                given["progress"](Progress("receive", chunk * MIB, sum(lengths)))
        return ReceiveResult(0, 0, 0, 0.0, refused=0, kept=0, peers=0)

    def content(self, number: int) -> bytes:
        return Path(self.disks[number].path).read_bytes()


@pytest.fixture
def machine(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(jobs, "SHOW_SECONDS", 0.0)
    return Machine(image, tmp_path, monkeypatch)


def states(shown: list[CastNow]) -> list[ClientState]:
    return list(dict.fromkeys(now.state for now in shown))


def nothing(*_: Any, **__: Any) -> ReceiveResult:
    raise NetworkFailed("the cast was ended", hint="take part in a new cast")


def test_a_cast_is_written_and_proven(machine: Machine, tmp_path: Path) -> None:
    machine.cast(machine.all_of_it)
    assert machine.content(0) == (tmp_path / "source.raw").read_bytes()
    assert machine.content(1) == OLD * (COUNT * MIB)
    wanted = ["planning", "joining", "receiving", "verifying", "done"]
    assert states(machine.shown) == [ClientState(word) for word in wanted]
    writing = [now.writing for now in machine.shown]
    assert writing == sorted(writing), "once begun, it stays so"
    assert any("writes zeros" in now.detail for now in machine.shown)


def test_who_joins_and_hears_nothing_loses_nothing(machine: Machine) -> None:
    with pytest.raises(NetworkFailed) as failed:
        machine.cast(nothing)
    assert failed.value.hint == "no data came: the disk is as it was; take part in a new cast"
    assert machine.content(0) == OLD * (COUNT * MIB)
    assert not any(now.writing for now in machine.shown)


def test_what_fails_after_the_first_chunk_says_nothing_of_the_kind(machine: Machine) -> None:
    def one(_control: Any, _cast: Any, _lengths: Any, sink: Any, **_: Any) -> ReceiveResult:
        sink.put(2, machine.image.read_stored(2))
        return nothing()

    with pytest.raises(NetworkFailed) as failed:
        machine.cast(one)
    assert failed.value.hint == "take part in a new cast"
    assert machine.content(0)[:MIB] == bytes(MIB)


def test_a_disk_that_cannot_be_cleared_is_the_reason(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(disk: BlockFile, offset: int, _length: int) -> None:
        raise DiskFailed(f"{disk.path}: cannot zero at byte {offset}: Input/output error", hint="x")

    monkeypatch.setattr(BlockFile, "zero", broken)
    with pytest.raises(DiskFailed, match="cannot zero at byte 0: Input/output error") as failed:
        machine.cast(machine.all_of_it)
    assert failed.value.hint == "x"


def test_a_disk_that_gives_back_something_else_does_not_boot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = DiskSink.finish

    def finish_on_a_bad_disk(sink: DiskSink) -> None:
        finish(sink)
        assert machine.content(0)[:MIB] != bytes(MIB)
        flip(Path(machine.disks[0].path), 3 * MIB)

    monkeypatch.setattr(DiskSink, "finish", finish_on_a_bad_disk)
    with pytest.raises(Untrusted):
        machine.cast(machine.all_of_it)
    assert machine.content(0)[:MIB] == bytes(MIB)
    assert machine.control.remembered == b"", "the next time nothing is believed"


def test_a_comparison_is_planning_and_no_traffic(machine: Machine) -> None:
    with BlockFile.open_target(machine.disks[0].path) as disk:
        restore(machine.image, [disk])
    machine.cast(machine.all_of_it, update=True)
    compared = [now for now in machine.shown if now.state is ClientState.PLANNING and now.done]
    assert compared
    assert all((now.multicast, now.unicast, now.writing) == (0, 0, False) for now in compared)
    (receiving, *_) = [now for now in machine.shown if now.state is ClientState.RECEIVING]
    assert receiving.kept == receiving.done == sum(machine.image.index.stored_lengths()[1:])
    assert receiving.done <= receiving.total


def test_an_update_that_is_cancelled_leaves_nothing_to_be_believed_of_a_living_disk(
    machine: Machine,
) -> None:
    with BlockFile.open_target(machine.disks[0].path) as disk:
        restore(machine.image, [disk])
    before, machine.control.remembered = machine.content(0), b"of an earlier cast"
    with pytest.raises(NetworkFailed):
        machine.cast(nothing, update=True)
    assert machine.control.remembered == b""
    assert machine.content(0) == before


def test_another_try_writes_no_other_disk(machine: Machine) -> None:
    first = (machine.disks[0],)
    assert machine.cast(machine.all_of_it, before=first) == first
    machine.disks = machine.disks[1:]  # the first is gone, and the other is what the rules choose now
    with pytest.raises(DiskFailed, match=r"serial-one.* is not there as it was: only .*two\.raw"):
        machine.cast(machine.all_of_it, before=first)
    assert Path(machine.disks[0].path).read_bytes() == OLD * (COUNT * MIB)


def test_another_try_waits_for_a_disk_that_is_gone(machine: Machine) -> None:
    first, machine.disks = (machine.disks[0],), ()
    with pytest.raises(DiskFailed, match="is not there as it was"):
        machine.cast(machine.all_of_it, before=first)


def test_another_try_takes_the_disk_by_whatever_name_it_comes_back(
    machine: Machine, tmp_path: Path
) -> None:
    first = (dataclasses.replace(machine.disks[0], path="/dev/before"),)
    machine.cast(machine.all_of_it, before=first)
    assert machine.content(0) == (tmp_path / "source.raw").read_bytes()

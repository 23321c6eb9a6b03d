"""A boot tree that is replaced under a running server."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.boot import BootEvent, BootStage, bootnames
from castcore.trust import digest
from castserver.services import bootfiles
from castserver.services.servedfiles import RETRY_SECONDS, ServedFiles
from castserver.services.steadyfile import HeldFile

from tests.support.bootasking import PLACE
from tests.support.boottrees import tree

OLD, NEW = {"kernel": b"old kernel", "shim": b"old shim"}, {"kernel": b"the new kernel", "shim": b"new"}
SERVER = "https://10.0.0.1:8443"


class Served:
    """Files of a tree in ``folder``, what was told of them, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 100.0
        self.told: list[BootEvent] = []
        self.files = ServedFiles(tree(folder, OLD), self.load, self.told.append, lambda: self.now)

    def load(self) -> bootfiles.BootFiles:
        return bootfiles.load(self.folder, PLACE, server_url=SERVER, server_key=b"k", extra="").files

    def replace(self, contents: dict[str, bytes]) -> None:
        """As media-builder does: the files by renaming, the table last."""
        (self.folder / "tree.json").unlink()
        for role in contents:
            (self.folder / role).unlink()
        tree(self.folder, contents)

    def kernel(self) -> bytes:
        return self.read("boot/vmlinuz")

    def read(self, name: str) -> bytes:
        file = self.files.over_http(name)
        assert file is not None, name
        with file.open() as stream:
            return stream.read()


def hashed(data: bytes) -> str:
    return bootnames.by_hash(bootnames.KERNEL, digest(data).hex())


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_a_new_tree_is_served_and_what_was_begun_goes_on(served: Served) -> None:
    assert not served.files.refresh()
    begun = served.files.tftp["shimx64.efi"].open()
    served.replace(NEW)
    assert served.files.refresh()
    assert not served.files.refresh()
    assert served.kernel() == NEW["kernel"]
    assert served.files.tftp["shimx64.efi"].open().read() == b"new"
    assert begun.read() == b"old shim"
    # A machine whose script was made before.
    assert served.read(hashed(OLD["kernel"])) == OLD["kernel"]
    served.replace({"kernel": b"the third"})
    assert served.files.refresh()
    assert served.files.over_http(hashed(OLD["kernel"])) is None
    assert served.read(hashed(NEW["kernel"])) == NEW["kernel"]
    assert served.told == []


def test_while_a_tree_is_made_the_old_one_is_served(served: Served) -> None:
    (served.folder / "tree.json").unlink()
    (served.folder / "kernel").unlink()
    assert not served.files.refresh()
    assert served.kernel() == OLD["kernel"]
    assert served.told == []


def test_what_is_no_tree_is_told_once_and_tried_again(served: Served) -> None:
    served.replace(NEW)
    (served.folder / "initrd").write_bytes(b"not what the table says")
    for _ in range(3):
        assert not served.files.refresh()
        served.now += RETRY_SECONDS
    assert served.kernel() == OLD["kernel"]
    (told,) = served.told
    assert told.stage is BootStage.FAILED
    assert "the old one is served on" in told.detail
    (served.folder / "initrd").write_bytes(b"ii")
    assert served.files.refresh()
    assert served.kernel() == NEW["kernel"]


def test_a_file_that_is_let_go_of_is_gone_for_who_asks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    held = HeldFile(tmp_path / "file")
    begun = held.open()
    held.close()
    assert begun.read() == b"x" * 10
    with pytest.raises(OSError, match="not served any more"):
        held.open()

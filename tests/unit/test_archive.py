"""Archives: the same files are the same bytes, with a list of what is in them."""

from __future__ import annotations

import io
import json
import tarfile

from castcore.archive import CONTENTS, archive
from castcore.trust import digest


def test_the_same_files_are_the_same_bytes_in_any_order() -> None:
    one = archive("logs", {"b/x": b"2", "a": b"1"})
    assert one == archive("logs", {"a": b"1", "b/x": b"2"})
    assert one != archive("logs", {"a": b"1", "b/x": b"3"})


def test_it_lists_what_is_in_it() -> None:
    files = {"a": b"one", "b/x": b""}
    with tarfile.open(fileobj=io.BytesIO(archive("logs", files))) as opened:
        names = opened.getnames()
        listed = opened.extractfile(f"logs/{CONTENTS}")
        assert listed is not None
        contents = json.loads(listed.read())
    assert names == ["logs/a", "logs/b/x", "logs/contents.json"]
    assert contents == {n: {"size": len(d), "blake3": digest(d).hex()} for n, d in files.items()}

"""Files as one ``tar.gz`` whose bytes follow from the files alone: no clock, no user, sorted names."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import IO

from castcore.canonical import encode
from castcore.trust import digest

CONTENTS = "contents.json"


def write_archive(output: IO[bytes], folder: str, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (by path in ``folder``) to ``output``, with CONTENTS: size and BLAKE3 of each."""
    listed = {name: {"size": len(data), "blake3": digest(data).hex()} for name, data in files.items()}
    whole = {**files, CONTENTS: encode(listed) + b"\n"}
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(whole):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(whole[name]), 0o644
            archive.addfile(member, io.BytesIO(whole[name]))


def archive(folder: str, files: Mapping[str, bytes]) -> bytes:
    """The archive of :func:`write_archive` as bytes."""
    output = io.BytesIO()
    write_archive(output, folder, files)
    return output.getvalue()

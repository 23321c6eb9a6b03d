"""Files as one stream of bytes, split in parts or not, whatever compressed them.

The compression is told from the first bytes, as Clonezilla does it. Memory is bounded whatever the
files claim: no decoder gets a larger window than the programs' own defaults.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, cast

import zstandard

from castcore.edge import run
from castcore.errors import BadImage, DiskFailed, FleetcastError, MissingProgram, NotFound, Refused
from castcore.units import KIB, MIB

BUFFER = 64 * KIB
# xz -9 needs 65 MiB to unpack; zstd unpacks windows up to 128 MiB unless it is told otherwise.
XZ_MEMORY = 256 * MIB
ZSTD_WINDOW = 128 * MIB
# What Python's library does not read is unpacked by the program that made it.
PROGRAMS = (
    (b"\x04\x22\x4d\x18", ("lz4", "-dc"), "lz4"),
    (b"\x89LZO\x00\x0d\x0a\x1a\x0a", ("lzop", "-dc"), "lzop"),
    (b"LZIP", ("lzip", "-dc"), "lzip"),
)
UNREADABLE = {b"LRZI": "lrzip"}
LZMA_SUFFIX = ".lzma"
GZIP, BZIP2, XZ, ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
MARKS = (GZIP, BZIP2, XZ, ZSTD, *(mark for mark, _, _ in PROGRAMS), *UNREADABLE)
DAMAGE = (zlib.error, gzip.BadGzipFile, EOFError, lzma.LZMAError, zstandard.ZstdError)


Buffered: TypeAlias = "io.BufferedReader[io.RawIOBase]"


class Stream(Protocol):
    """What is read: at most ``length`` bytes at a time, none at the end."""

    def read(self, length: int, /) -> bytes:
        """The next bytes."""
        ...


def is_compressed(file: Path) -> bool:
    """Whether ``file`` begins as a compressed one. Raises NotFound, DiskFailed."""
    with _opened(file) as opened:
        start = opened.read(16)
    return file_is_lzma(file) or start.startswith(MARKS)


def file_is_lzma(file: Path) -> bool:
    """Whether ``file`` is named as lzma's are, which have no mark; a piece has one more suffix."""
    return LZMA_SUFFIX in file.suffixes[-2:]


@contextmanager
def unpacked(files: Sequence[Path]) -> Iterator[Stream]:
    """The bytes that ``files``, one after the other, hold uncompressed.

    Reading raises BadImage for damage, DiskFailed; this raises NotFound, MissingProgram, Refused.
    """
    with ExitStack() as stack:
        raw: io.RawIOBase = stack.enter_context(_Parts(files))
        parts: Buffered = io.BufferedReader(raw, BUFFER)
        start = parts.peek(16)[:16]
        for magic, program in UNREADABLE.items():
            if start.startswith(magic):
                raise Refused(
                    f"{files[0]} is compressed by {program}, which is not read from a stream",
                    hint=f"unpack it with {program} first",
                )
        for magic, command, package in PROGRAMS:
            if start.startswith(magic):
                yield stack.enter_context(_by_program(command, package, parts, files[0]))
                return
        yield _Named(_decoder(start, parts, files[0]), files[0])


def _decoder(start: bytes, parts: Buffered, name: Path) -> Stream:
    if start.startswith(GZIP):
        return cast(Stream, gzip.GzipFile(fileobj=parts))
    if start.startswith(BZIP2):
        return cast(Stream, bz2.BZ2File(parts))
    if start.startswith(XZ) or file_is_lzma(name):
        return cast(Stream, io.BufferedReader(_Lzma(parts), MIB))
    if start.startswith(ZSTD):
        decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        return cast(Stream, decoder.stream_reader(parts, read_size=BUFFER, read_across_frames=True))
    return cast(Stream, parts)


class _Named:
    """A decoder whose every error is ours, and names the file."""

    def __init__(self, stream: Stream, name: Path) -> None:
        self._stream, self._name = stream, name

    def read(self, length: int, /) -> bytes:
        try:
            return self._stream.read(length)
        except FleetcastError:
            raise
        except DAMAGE as error:
            raise _damaged(self._name, str(error)) from None
        except OSError as error:
            # Python's bzip2 and gzip say so what is no fault of the disk: those have a number.
            if error.errno is None:
                raise _damaged(self._name, str(error)) from None
            raise DiskFailed(f"{self._name} cannot be read: {error.strerror}") from None


class _Parts(io.RawIOBase):
    """Several files as one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._waiting = list(files)
        self._open: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self._open is not None or self._waiting:
            if self._open is None:
                self._open = _opened(self._waiting.pop(0))
            count = self._open.readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return int(count)
            self._open.close()
            self._open = None
        return 0

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()


class _Lzma(io.RawIOBase):
    """xz or lzma, with a bound on memory, which Python's own file object does not take."""

    def __init__(self, source: Buffered) -> None:
        self._source = source
        self._rest = b""
        self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            if self._decoder.eof and not self._next_stream():
                return 0
            data = b""
            if self._decoder.needs_input:
                data = self._more()
                if not data:
                    raise EOFError("it ends before its end mark")
            out = self._decoder.decompress(data, len(buffer))
            if out:
                buffer[: len(out)] = out
                return len(out)

    def _next_stream(self) -> bool:
        """Begin with the stream behind the one that ended; False when none follows."""
        self._rest = self._decoder.unused_data
        # Zeros may pad a stream (the xz file format, 2.2).
        while not (data := self._more()).lstrip(b"\0"):
            if not data:
                return False
        self._rest = data.lstrip(b"\0")
        self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
        return True

    def _more(self) -> bytes:
        data, self._rest = self._rest, b""
        return data or self._source.read1(BUFFER)


@contextmanager
def _by_program(command: Sequence[str], package: str, parts: Buffered, name: Path) -> Iterator[Stream]:
    """What ``command`` prints when it is fed ``parts``."""
    if run.find(command[0]) is None:
        raise MissingProgram(f"not installed: {command[0]}", hint=f"apt install {package}")
    out, into = os.pipe()
    trouble: list[FleetcastError] = []
    with run.started(command, stdin=out) as process:
        os.close(out)
        feeder = threading.Thread(target=_feed, args=(parts, into, trouble), name="unpack", daemon=True)
        feeder.start()
        try:
            yield _Printed(process, trouble, name)
        finally:
            # With its reader gone the feeder's pipe breaks, and it ends.
            run.stop(process)
            feeder.join()


def _feed(parts: Buffered, into: int, trouble: list[FleetcastError]) -> None:
    with suppress(BrokenPipeError), os.fdopen(into, "wb") as pipe:
        try:
            while data := parts.read1(BUFFER):
                pipe.write(data)
        except FleetcastError as error:
            trouble.append(error)


class _Printed:
    """A program's output; its end is one only if the program says that all was well."""

    def __init__(self, process: run.Process, trouble: list[FleetcastError], name: Path) -> None:
        self._process, self._trouble, self._name = process, trouble, name

    def read(self, length: int, /) -> bytes:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        data = self._process.stdout.read(length)
        if len(data) < length:
            said = self._process.stderr.read().decode(errors="replace").strip()
            if self._trouble:
                raise self._trouble[0]
            if self._process.wait() != 0:
                raise _damaged(self._name, said.splitlines()[-1] if said else "its program failed")
        return data


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise DiskFailed(f"{path} cannot be read: {error.strerror}") from None


def _damaged(name: Path, why: str) -> BadImage:
    return BadImage(f"{name} cannot be unpacked: {why}")

"""One NBD client's connection, sans-IO: bytes in; bytes to send, and ranges to read, out.

Whatever a client sends, at most one option (bounded) is held, and the worst that comes of it is
:class:`Hangup` for this client.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from castcore.nbd import protocol as nbd
from castcore.nbd.protocol import Answer, Command, Error, Flag, Info, Option, ReplyType
from castcore.units import KIB, MIB

# Longer than any honest option: a name and some queries.
MOST_OPTION = 64 * KIB
# What a request may ask for; the protocol asks servers to take at least this much.
MOST_LENGTH = 32 * MIB
PREFERRED = 4 * KIB
MOST_RUNS = 4096
TRANSMISSION = Flag.HAS_FLAGS | Flag.READ_ONLY | Flag.SEND_FLUSH | Flag.MULTI_CONNECTION
CHANGES = frozenset({Command.WRITE, Command.TRIM, Command.WRITE_ZEROES})


class Served(Protocol):
    """A disk that is served. The session asks only for its size and runs, the edge reads it."""

    size: int

    def runs(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Runs of bytes from ``offset`` on, each with whether it may hold something but zeros."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises DiskFailed or BadImage."""
        ...


class Hangup(Exception):
    """The connection is over: the client said goodbye, or what it sent is no NBD."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A range to read; its answer is made by the session's ``read_...`` methods."""

    cookie: int
    export: Served
    offset: int
    length: int


class Session:
    """A server's side of one connection to ``exports``, by name; "" is the default one."""

    def __init__(self, exports: Mapping[str, Served]) -> None:
        self._exports = exports
        self._buffer = bytearray()
        self._skip = 0  # bytes of a refused write that are still to come
        self._step: Callable[[], Iterator[bytes | ReadRequest] | None] = self._client_flags
        self._no_zeroes = False
        self._structured = False
        self._allocation_of: str | None = None
        self._allocation = False
        self._export: Served | None = None

    @property
    def transmitting(self) -> bool:
        """Whether the handshake is over."""
        return self._export is not None

    def greeting(self) -> bytes:
        """What the server says first."""
        return nbd.GREETING.pack(nbd.NBDMAGIC, nbd.IHAVEOPT, nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES)

    def feed(self, data: bytes) -> Iterator[bytes | ReadRequest]:
        """Take what arrived; give what is to be sent or read, in order. Raises Hangup.

        All of it must be taken before the next call.
        """
        self._buffer += data
        while True:
            if self._skip:
                gone = min(self._skip, len(self._buffer))
                del self._buffer[:gone]
                self._skip -= gone
                if self._skip:
                    return
            answers = self._step()
            if answers is None:
                return
            yield from answers

    def read_start(self, request: ReadRequest) -> bytes:
        """What precedes the data of a read."""
        return b"" if self._structured else nbd.SIMPLE.pack(nbd.SIMPLE_REPLY, 0, request.cookie)

    def read_data(self, request: ReadRequest, offset: int, data: bytes) -> bytes:
        """The next part of a read's data, which stands at byte ``offset``."""
        if not self._structured:
            return data
        payload = offset.to_bytes(8, "big") + data
        return _chunk(request.cookie, ReplyType.DATA, payload, done=False)

    def read_end(self, request: ReadRequest) -> bytes:
        """What follows the data of a read."""
        return _chunk(request.cookie, ReplyType.NONE, b"", done=True) if self._structured else b""

    def read_failed(self, request: ReadRequest, why: str, *, started: bool) -> bytes:
        """The answer to a read that failed. Raises Hangup where the protocol leaves nothing else.

        ``started``: :meth:`read_start` was sent already.
        """
        if started and not self._structured:
            raise Hangup(why)
        return self._error(request.cookie, Error.INPUT_OUTPUT, why)

    def _take(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    def _client_flags(self) -> Iterator[bytes | ReadRequest] | None:
        data = self._take(nbd.CLIENT_FLAGS.size)
        if data is None:
            return None
        (flags,) = nbd.CLIENT_FLAGS.unpack(data)
        if flags & ~(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES):
            raise Hangup("unknown client flags")
        self._no_zeroes = bool(flags & nbd.NO_ZEROES)
        self._step = self._option
        return iter(())

    def _option(self) -> Iterator[bytes | ReadRequest] | None:
        if len(self._buffer) < nbd.OPTION.size:
            return None
        magic, option, length = nbd.OPTION.unpack_from(self._buffer)
        if magic != nbd.IHAVEOPT or length > MOST_OPTION:
            raise Hangup("no option, or one that is too long")
        data = self._take(nbd.OPTION.size + length)
        return None if data is None else self._answer(option, data[nbd.OPTION.size :])

    def _answer(self, option: int, data: bytes) -> Iterator[bytes]:
        match option:
            case Option.EXPORT_NAME:
                yield self._export_name(_text(data))
            case Option.ABORT:
                yield _reply(option, Answer.ACK)
                raise Hangup("the client ended the handshake")
            case Option.LIST:
                yield from self._list(data)
            case Option.INFO | Option.GO:
                yield from self._info(option, data)
            case Option.STRUCTURED_REPLY:
                self._structured = not data or self._structured
                yield _reply(option, Answer.INVALID if data else Answer.ACK)
            case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT:
                yield from self._meta_context(option, data)
            case _:
                yield _reply(option, Answer.UNSUPPORTED)

    def _export_name(self, name: str) -> bytes:
        if name not in self._exports:
            raise Hangup(f"no export {name!r}")
        export = self._begin(name)
        padding = b"" if self._no_zeroes else bytes(nbd.RESERVED_BYTES)
        return nbd.EXPORT_NAME_ANSWER.pack(export.size, TRANSMISSION) + padding

    def _begin(self, name: str) -> Served:
        self._export = self._exports[name]
        self._allocation = self._structured and self._allocation_of == name
        self._step = self._command
        return self._export

    def _list(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield _reply(Option.LIST, Answer.INVALID)
            return
        for name in self._exports:
            raw = name.encode()
            yield _reply(Option.LIST, Answer.SERVER, len(raw).to_bytes(4, "big") + raw)
        yield _reply(Option.LIST, Answer.ACK)

    def _info(self, option: int, data: bytes) -> Iterator[bytes]:
        try:
            name, rest = _counted(data)
            (count,) = struct.unpack_from(">H", rest)
            wanted = struct.unpack(f">{count}H", rest[2:])
        except (struct.error, ValueError):
            yield _reply(option, Answer.INVALID)
            return
        if name not in self._exports:
            yield _reply(option, Answer.UNKNOWN)
            return
        size = self._exports[name].size
        yield _reply(option, Answer.INFO, struct.pack(">HQH", Info.EXPORT, size, TRANSMISSION))
        if Info.BLOCK_SIZE in wanted:
            sizes = struct.pack(">HIII", Info.BLOCK_SIZE, 1, PREFERRED, MOST_LENGTH)
            yield _reply(option, Answer.INFO, sizes)
        if option == Option.GO:
            self._begin(name)
        yield _reply(option, Answer.ACK)

    def _meta_context(self, option: int, data: bytes) -> Iterator[bytes]:
        setting = option == Option.SET_META_CONTEXT
        if setting:
            self._allocation_of = None
        try:
            name, rest = _counted(data)
            queries = _queries(rest)
        except ValueError:
            yield _reply(option, Answer.INVALID)
            return
        if not self._structured:
            yield _reply(option, Answer.INVALID)
            return
        if name not in self._exports:
            yield _reply(option, Answer.UNKNOWN)
            return
        listed = not setting and (not queries or "base:" in queries)
        if nbd.BASE_ALLOCATION in queries or listed:
            number = nbd.ALLOCATION_ID if setting else 0
            if setting:
                self._allocation_of = name
            context = number.to_bytes(4, "big") + nbd.BASE_ALLOCATION.encode()
            yield _reply(option, Answer.META_CONTEXT, context)
        yield _reply(option, Answer.ACK)

    def _command(self) -> Iterator[bytes | ReadRequest] | None:
        data = self._take(nbd.COMMAND.size)
        if data is None:
            return None
        magic, flags, kind, cookie, offset, length = nbd.COMMAND.unpack(data)
        if magic != nbd.REQUEST:
            raise Hangup("no request")
        if kind == Command.DISCONNECT:
            raise Hangup("the client disconnected")
        if kind == Command.WRITE:
            if length > MOST_LENGTH:
                raise Hangup("a write that is too long")
            self._skip = length
        return self._done(kind, flags, cookie, offset, length)

    def _done(
        self, kind: int, flags: int, cookie: int, offset: int, length: int
    ) -> Iterator[bytes | ReadRequest]:
        assert self._export is not None
        inside = 0 < length <= self._export.size - offset
        if kind in CHANGES:
            yield self._error(cookie, Error.NOT_PERMITTED, "the image is read-only")
        elif kind == Command.FLUSH and not flags:
            yield nbd.SIMPLE.pack(nbd.SIMPLE_REPLY, 0, cookie)
        elif kind == Command.READ and not flags and inside:
            if length > MOST_LENGTH:
                yield self._error(cookie, Error.OVERFLOW, f"more than {MOST_LENGTH} bytes")
            else:
                yield ReadRequest(cookie, self._export, offset, length)
        elif (
            kind == Command.BLOCK_STATUS and self._allocation and inside and not flags & ~nbd.REQUEST_ONE
        ):
            yield self._status(self._export, cookie, offset, length, one=bool(flags))
        else:
            yield self._error(cookie, Error.INVALID, "an unknown request, or one outside of the disk")

    def _status(self, export: Served, cookie: int, offset: int, length: int, *, one: bool) -> bytes:
        payload = bytearray(nbd.ALLOCATION_ID.to_bytes(4, "big"))
        for size, is_data in export.runs(offset, length, 1 if one else MOST_RUNS):
            payload += struct.pack(">II", size, 0 if is_data else nbd.HOLE_AND_ZERO)
        return _chunk(cookie, ReplyType.BLOCK_STATUS, bytes(payload), done=True)

    def _error(self, cookie: int, error: Error, why: str) -> bytes:
        if not self._structured:
            return nbd.SIMPLE.pack(nbd.SIMPLE_REPLY, error, cookie)
        text = why.encode()[: nbd.MOST_STRING]
        payload = struct.pack(">IH", error, len(text)) + text
        return _chunk(cookie, ReplyType.ERROR, payload, done=True)


def _reply(option: int, answer: Answer, data: bytes = b"") -> bytes:
    return nbd.OPTION_ANSWER.pack(nbd.OPTION_REPLY, option, answer, len(data)) + data


def _chunk(cookie: int, kind: ReplyType, payload: bytes, *, done: bool) -> bytes:
    flags = nbd.DONE if done else 0
    return nbd.CHUNK.pack(nbd.STRUCTURED_REPLY, flags, kind, cookie, len(payload)) + payload


def _text(data: bytes) -> str:
    # A name that is no UTF-8 is none of ours.
    return data.decode(errors="replace")


def _counted(data: bytes) -> tuple[str, bytes]:
    """A string preceded by its length, and what follows it. Raises ValueError."""
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        raise ValueError("a string that reaches after its option's end")
    return _text(data[4 : 4 + length]), data[4 + length :]


def _queries(data: bytes) -> list[str]:
    """The strings of which ``data`` tells first how many follow. Raises ValueError."""
    count, rest = int.from_bytes(data[:4], "big"), data[4:]
    if len(data) < 4 or count > len(rest) // 4:
        raise ValueError("more queries than the option has room for")
    found = []
    for _ in range(count):
        query, rest = _counted(rest)
        found.append(query)
    if rest:
        raise ValueError("bytes after the last query")
    return found

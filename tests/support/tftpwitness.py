"""A strict reader of TFTP answers that shares no code with Fleetcast: RFC 1350, 2347, 2348, 2349."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

READ, WRITE, DATA, ACK, ERROR, OACK = range(1, 7)
PORT = 69
GRANTABLE = {b"blksize", b"tsize"}


class Wrong(AssertionError):
    """An answer that the protocol does not allow."""


@dataclass
class TftpSession:
    """One request of one client port, and what came of it."""

    asked: bytes
    files: Mapping[bytes, bytes]
    server_port: int = 0
    block_size: int = 512
    # The highest block that may come: one more than the client acknowledged, or 0 while an OACK waits.
    next_block: int = 1
    ended: bool = False
    answers: int = 0
    words: list[bytes] = field(init=False)
    # The last block that came, 0 for an OACK.
    _last: int = -1

    def __post_init__(self) -> None:
        self.words = self.asked[2:].split(b"\0")

    def acknowledged(self, data: bytes) -> None:
        """The client sent ``data`` to the transfer."""
        if len(data) >= 4 and data[:2] == b"\0\4" and int.from_bytes(data[2:4], "big") == self._last:
            self.next_block = self._last + 1

    def judge(self, data: bytes, server_port: int) -> int:
        """The answer's block number, -1 for an error. Raises Wrong."""
        self.answers += 1
        _need(len(data) >= 4, f"{len(data)} bytes")
        opcode = int.from_bytes(data[:2], "big")
        _need(opcode in (DATA, OACK, ERROR), f"opcode {opcode}")
        if opcode == ERROR:
            self._error(data)
            return -1
        _need(server_port != PORT, "a transfer from port 69")
        _need(self.server_port in (0, server_port), "two transfers of one request")
        self.server_port = server_port
        _need(self.asked[:2] == b"\0\1", "a file to one who did not ask to read")
        _need(len(self.words) > 2 and self.words[1].lower() == b"octet", "a file in another mode")
        self._last = self._granted(data) if opcode == OACK else self._data(data)
        return self._last

    def _error(self, data: bytes) -> None:
        _need(int.from_bytes(data[2:4], "big") <= 8, "an error code of its own")
        _need(data[-1] == 0 and b"\0" not in data[4:-1] and data[4:-1].isascii(), "an error text")
        self.ended = True

    def _file(self) -> bytes:
        name = b"/".join(part for part in self.words[0][:255].replace(b"\\", b"/").split(b"/") if part)
        _need(name in self.files, f"something for the name {name!r}")
        return self.files[name]

    def _granted(self, data: bytes) -> int:
        _need(self._last <= 0, "options acknowledged in the middle")
        words = data[2:].split(b"\0")
        _need(words.pop() == b"" and len(words) % 2 == 0 and bool(words), "an OACK's words")
        granted = dict(zip(words[::2], words[1::2], strict=True))
        _need(len(granted) == len(words) // 2, "an option granted twice")
        asked = {k.lower(): v for k, v in zip(self.words[2::2], self.words[3::2], strict=False)}
        _need(set(granted) <= GRANTABLE & set(asked), f"granted {granted}, asked {asked}")
        if b"tsize" in granted:
            _need(granted[b"tsize"] == str(len(self._file())).encode(), "another size")
        if b"blksize" in granted:
            _need(granted[b"blksize"].isdigit() and asked[b"blksize"].isdigit(), "a block size")
            self.block_size = int(granted[b"blksize"])
            _need(8 <= self.block_size <= min(int(asked[b"blksize"]), 65464), "a larger block")
        self._file()
        return 0

    def _data(self, data: bytes) -> int:
        block, content = int.from_bytes(data[2:4], "big"), self._file()
        _need(1 <= block <= self.next_block, f"block {block}, {self.next_block} is the next")
        start = (block - 1) * self.block_size
        _need(data[4:] == content[start : start + self.block_size], f"other bytes in block {block}")
        return block


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)

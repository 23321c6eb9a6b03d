"""Proven requests of many clients in one process: HTTP/1.1 over TLS by hand, in coroutines."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from castcore.control import API
from castcore.proof import NONCE_HEADER, PROOF_HEADER, Prover

# A TLS handshake is the dearest thing here: so many at a time.
AT_ONCE = 50


class Https:
    """Requests over one kept-alive connection, one at a time, as each thread of a real client has."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def call(self, method: str, path: str, value: Any, prover: Prover) -> bytes:
        """The answer to one request, proven; a second time with the nonce that the server wants."""
        body = b"" if value is None else json.dumps(value).encode()
        status, nonce, answer = await self._once(method, path, body, prover)
        if status == 401 and nonce:
            prover.nonce = nonce
            status, nonce, answer = await self._once(method, path, body, prover)
        if status >= 300:
            raise OSError(f"{path}: {status} {answer[:200]!r}")
        return answer

    async def _once(self, method: str, path: str, body: bytes, prover: Prover) -> tuple[int, str, bytes]:
        head = f"{method} {API}{path} HTTP/1.1\r\nHost: server\r\nContent-Length: {len(body)}\r\n"
        if prover.token:
            head += f"Authorization: Bearer {prover.token}\r\n"
        proof = prover.header(method, f"{API}{path}", body)
        if proof:
            head += f"{PROOF_HEADER}: {proof}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        async with self._turn:
            reader, writer = await self._open()
            writer.write(head.encode() + b"\r\n" + body)
            return await _answer(reader)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            where = self._where
            async with where.handshakes:
                self._streams = await asyncio.open_connection(where.host, where.port, ssl=where.tls)
            shown = self._streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert sha256(shown).digest() == where.certificate
        return self._streams


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Status, the nonce that is wanted from now on ("": as before), and body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (n.partition(":") for n in lines[1:])}
    body = await reader.readexactly(int(fields["content-length"]))
    return int(lines[0].split()[1]), fields.get(NONCE_HEADER.lower(), ""), body


@dataclass
class Where:
    """The server."""

    url: str
    certificate: bytes
    key: bytes
    tls: ssl.SSLContext
    handshakes: asyncio.Semaphore

    @property
    def host(self) -> str:
        return self.url.rpartition(":")[0].removeprefix("https://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

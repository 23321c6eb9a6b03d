"""A finished client's small HTTP server: whole chunks for those who take part in the same cast.

``GET /chunks/N`` with the tag of :mod:`castcore.cast.peerwire`, one request a connection. Strangers get
401, everybody 503 while it is busy; nobody can hold a connection for longer than a few seconds.
"""

from __future__ import annotations

import hmac
import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from castcore.cast.peers import UploadBudget
from castcore.cast.peerwire import NONCE_SIZE, Packed, request_tag, seal
from castcore.edge.net.interface import Interface
from castcore.errors import NetworkFailed

CONNECTIONS_MAX = 16
REQUEST_SECONDS = 1.0
ANSWER_SECONDS = 5.0
REQUEST_MAX = 2048
PIECE = 64 << 10
_REQUEST = re.compile(
    rb"GET /chunks/(\d{1,12}) HTTP/1\.1\r\n(?:.*\r\n)*?Authorization: Peer ([0-9a-f]{32})\r\n"
)
_REASONS = {401: "Unauthorized", 404: "Not Found", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Pass:
    """What lets one client deal with the others of its cast: where, in which session, by which key."""

    interface: Interface
    session: int
    key: bytes = field(repr=False)


class Contents(Protocol):
    """What a seed serves from."""

    def packed(self, chunk: int) -> Packed | None:
        """The proven content of ``chunk``, None when it is not to be had."""
        ...

    def relieve(self) -> None:
        """Called now and then: free memory if the machine is short of it."""
        ...

    def close(self) -> None:
        """Free what it reads from; a second call does nothing."""
        ...


class SeedServer:
    """Serves ``contents`` to those who have the same key, until it is closed. Raises NetworkFailed.

    ``served`` counts the bytes of the chunks it gave, as they travelled.
    """

    def __init__(self, given: Pass, contents: Contents) -> None:
        self._session, self._key, self._contents = given.session, given.key, contents
        self._budget, self._lock = UploadBudget(), threading.Lock()
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._closed = False
        self.served = 0
        own = given.interface
        self._listener = socket.socket(own.family, socket.SOCK_STREAM)
        try:
            self._listener.bind(own.reach(own.address, 0))
            self._listener.listen(CONNECTIONS_MAX)
        except OSError as error:
            self._listener.close()
            raise NetworkFailed(f"no TCP port to be had on {own.address}: {error.strerror}") from None
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="cast-seed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more, and return when nothing is being read."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        end = time.monotonic() + REQUEST_SECONDS + ANSWER_SECONDS
        for _ in range(CONNECTIONS_MAX):
            self._slots.acquire(timeout=max(end - time.monotonic(), 0))

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed, or the guest was gone before it was let in
                continue
            if self._slots.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                self._answer(connection, _request(connection, time.monotonic() + REQUEST_SECONDS))
        finally:
            self._slots.release()

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        asked = _REQUEST.match(request)
        if asked is None:
            _refuse(connection, 401)
            return
        chunk, tag = int(asked[1]), asked[2].decode()
        if not hmac.compare_digest(tag, request_tag(self._key, self._session, chunk)):
            _refuse(connection, 401)
            return
        with self._lock:
            entered = not self._closed and self._budget.enter()
        if not entered:
            _refuse(connection, 503)
            return
        try:
            self._upload(connection, chunk)
        finally:
            with self._lock:
                self._budget.leave()

    def _upload(self, connection: socket.socket, chunk: int) -> None:
        packed = self._contents.packed(chunk)
        if packed is None:
            _refuse(connection, 404)
            return
        body = seal(self._key, self._session, chunk, packed, os.urandom(NONCE_SIZE))
        end = time.monotonic() + ANSWER_SECONDS
        connection.sendall(_head(200, "OK", len(body)))
        left = memoryview(body)
        while left:
            now = time.monotonic()
            connection.settimeout(max(end - now, 0.001))
            connection.sendall(left[:PIECE])
            with self._lock:
                pause = self._budget.spend(now, len(left[:PIECE]))
            left = left[PIECE:]
            time.sleep(pause)
        with self._lock:
            self.served += len(packed.data)


def _request(connection: socket.socket, end: float) -> bytes:
    """What was asked, up to the empty line. Raises OSError when that does not come in time."""
    request = b""
    while b"\r\n\r\n" not in request and len(request) < REQUEST_MAX:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        more = connection.recv(REQUEST_MAX)
        if not more:
            break
        request += more
    return request


def _refuse(connection: socket.socket, status: int) -> None:
    connection.sendall(_head(status, _REASONS[status], 0))


def _head(status: int, reason: str, length: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/octet-stream",
        f"Content-Length: {length}",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()

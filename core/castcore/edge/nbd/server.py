"""Serving disks over NBD: a listening socket, one thread for each client, nothing ever written."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from castcore.edge.net.portholder import bind_error
from castcore.errors import DiskFailed, FleetcastError, PortTaken, Refused
from castcore.nbd.session import Hangup, ReadRequest, Served, Session
from castcore.units import KIB, MIB

MOST_CLIENTS = 16
# An honest client's handshake takes milliseconds.
HANDSHAKE_SECONDS = 10.0
# A client that takes nothing for so long is gone; one that asks nothing may be a mounted disk.
SEND_SECONDS = 60.0
RECEIVE = 64 * KIB
STEP = MIB


@contextmanager
def listening(address: str, port: int) -> Iterator[socket.socket]:
    """A TCP socket that listens. Raises PortTaken, NotFound (no such address), NetworkFailed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise bind_error(error, "tcp", address, port) from None
        listener.listen(MOST_CLIENTS)
        yield listener


@contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """A Unix socket at ``path`` that only this user may open, removed afterwards.

    Raises PortTaken (somebody listens there), Refused (it is something else), DiskFailed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _remove_abandoned(path)
        try:
            old = os.umask(0o177)
            try:
                listener.bind(os.fspath(path))
            finally:
                os.umask(old)
        except OSError as error:
            raise DiskFailed(f"no socket can be made at {path}: {error.strerror or error}") from None
        listener.listen(MOST_CLIENTS)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the socket of a server that was killed."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise Refused(f"{path} exists and is no socket", hint="name another place for the socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise PortTaken(f"somebody listens at {path}", hint="stop that program, or name another place")


class NbdServer:
    """Serves ``exports`` to whoever connects to ``listener``, until :meth:`stop`.

    ``trouble`` is told, in any thread, why a read failed: the client sees an input/output error.
    """

    def __init__(
        self,
        listener: socket.socket,
        exports: Mapping[str, Served],
        trouble: Callable[[FleetcastError], None] = lambda _: None,
    ) -> None:
        self._listener, self._exports, self._trouble = listener, exports, trouble
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.clients_served = 0

    def run(self) -> None:
        """Accept clients until :meth:`stop` or an exception (Ctrl-C)."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            with self._lock:
                if len(self._clients) >= MOST_CLIENTS:
                    client.close()
                    continue
                self._clients.add(client)
                self._threads = [t for t in self._threads if t.is_alive()]
                thread = threading.Thread(target=self._serve, args=(client,), name="nbd", daemon=True)
                self._threads.append(thread)
                self.clients_served += 1
            thread.start()

    def stop(self) -> None:
        """End every connection, and :meth:`run`; return when no thread reads the image any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _serve(self, client: socket.socket) -> None:
        try:
            # What a client does can end its own connection and nothing else.
            with suppress(OSError, Hangup):
                self._talk(client)
        finally:
            with self._lock:
                self._clients.discard(client)
            client.close()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(HANDSHAKE_SECONDS)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        session = Session(self._exports)
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        client.sendall(session.greeting())
        while True:
            # However slowly it speaks: who has chosen no disk by then does not keep others out.
            left = max(deadline - time.monotonic(), 0.001)
            client.settimeout(None if session.transmitting else left)
            data = client.recv(RECEIVE)
            if not data:
                return
            client.settimeout(SEND_SECONDS)
            for answer in session.feed(data):
                if isinstance(answer, ReadRequest):
                    self._read(client, session, answer)
                else:
                    client.sendall(answer)

    def _read(self, client: socket.socket, session: Session, request: ReadRequest) -> None:
        disk = request.export
        started = False
        try:
            end = request.offset + request.length
            for at in range(request.offset, end, STEP):
                data = disk.read(at, min(STEP, end - at))
                if not started:
                    client.sendall(session.read_start(request))
                    started = True
                client.sendall(session.read_data(request, at, data))
            client.sendall(session.read_end(request))
        except FleetcastError as error:
            self._trouble(error)
            client.sendall(session.read_failed(request, error.what, started=started))

"""TFTP for the first small boot files: read only, from a closed map, no path ever touches a disk.

tftpy's transfer states do the protocol. Its server loop is not used: an odd packet ends it
(``blksize=x`` raises ValueError, a name that is not ASCII UnicodeDecodeError, and only tftpy's own
exception is caught), it cannot be tied to an interface, select() stops at 1024 sockets, it
acknowledges options that were not asked for, and its file locking fails on files that are not on
disk. This module is that loop.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import IO, Any

from castcore.boot import BootEvent, BootStage, Transfer, bootnames
from castcore.boot.tftprequest import Opcode, TftpRequest, parse_request
from castcore.edge.net.bootsockets import datagram_socket, neighbour_mac
from castcore.errors import BadPacket
from tftpy.TftpContexts import TftpContextServer, TftpMetrics
from tftpy.TftpPacketTypes import TftpPacketERR
from tftpy.TftpShared import TftpErrors, TftpException, TftpTimeout
from tftpy.TftpStates import TftpStateServerRecvRRQ

from castserver.services.bootfiles import Offered
from castserver.services.loop import SocketLoop

log = logging.getLogger(__name__)
# It warns of each duplicate packet, which is everyday life on a busy network.
logging.getLogger("tftpy").setLevel(logging.CRITICAL)

PORT = 69
RESEND_SECONDS = 1.0
RESENDS = 8
# A storm of 500 machines, twice over; beyond, requests are dropped and asked again. One address may not
# take the places of all.
MOST_TRANSFERS = 1000
MOST_OF_ONE_ADDRESS = 50
BATCH = 64
ACKNOWLEDGED, ENDED = b"\0\4", b"\0\5"
# More than any acknowledgement or error text has.
LARGEST_ANSWER = 1024


class Tftp:
    """Serves ``files.tftp`` on one address. NotFound, PortTaken, Refused from the constructor."""

    def __init__(
        self,
        address: str,
        files: Offered,
        on_event: Callable[[BootEvent], None],
        port: int = PORT,
    ) -> None:
        self.bad = 0
        self._address = address
        self._files = files
        self._on_event = on_event
        self._transfers: dict[tuple[str, int], _Transfer] = {}
        self._socket = datagram_socket(address, port)
        self._loop = SocketLoop(f"tftp {address}", tick=self._resend)
        self._loop.add(self._socket, self._drain)

    def start(self) -> None:
        """Start serving."""
        self._loop.start()

    def stop(self) -> None:
        """Stop serving, ending transfers under way."""
        self._loop.stop()
        for transfer in self._transfers.values():
            transfer.end()
        self._transfers.clear()
        self._socket.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                data, client = self._socket.recvfrom(65535)
                self._open(data, client)

    def _open(self, data: bytes, client: tuple[str, int]) -> None:
        try:
            request = parse_request(data)
        except BadPacket as error:
            self.bad += 1
            log.debug("from %s: %s", client[0], error)
            return
        if not self._may_open(request, client):
            return
        if request.opcode is Opcode.WRITE:
            self._refuse(client, TftpErrors.AccessViolation)
        elif request.mode != "octet":
            self._refuse(client, TftpErrors.IllegalTftpOp)
        else:
            self._serve(request, client)

    def _may_open(self, request: TftpRequest, client: tuple[str, int]) -> bool:
        """Whether there is room for one more; what the client's port had before is ended."""
        before = self._transfers.get(client)
        if before is not None:
            if before.acknowledged == 0 and before.request == request:
                # It came twice on its way, or the machine is impatient: its first packet is under way.
                return False
            # Firmware that starts anew may do so from the same port.
            self._close(client, "stopped: the machine asks anew")
        beside = sum(address == client[0] for address, _ in self._transfers)
        return len(self._transfers) < MOST_TRANSFERS and beside < MOST_OF_ONE_ADDRESS

    def _serve(self, request: TftpRequest, client: tuple[str, int]) -> None:
        name = bootnames.canonical(request.name)
        file = self._files.tftp.get(name)
        if file is None:
            self._refuse(client, TftpErrors.FileNotFound)
            return
        sock = self._connected(client)
        if sock is None:
            return
        try:
            stream = file.open()
        except OSError as error:
            sock.close()
            detail = f"{name} is not served: {error.strerror}"
            self._on_event(BootEvent(neighbour_mac(client[0]), BootStage.FAILED, detail, client[0]))
            self._refuse(client, TftpErrors.FileNotFound)
            return
        transfer = _Transfer(sock, client, request, stream, file.size)
        self._transfers[client] = transfer
        self._loop.add(sock, lambda: self._step(client, transfer, transfer.receive))
        self._tell(client, f"sending {file.size} bytes", Transfer(name, 0, file.size))
        self._step(client, transfer, transfer.begin)

    def _connected(self, client: tuple[str, int]) -> socket.socket | None:
        """A transfer's own socket; None for an address that nobody can route to."""
        sock = datagram_socket(self._address, 0)
        try:
            # The kernel drops what others send to this transfer.
            sock.connect(client)
        except OSError as error:
            sock.close()
            log.debug("no way to %s: %s", client[0], error)
            return None
        return sock

    def _step(self, client: tuple[str, int], transfer: _Transfer, step: Callable[[], None]) -> None:
        """Take one ``step`` of a transfer; it ends when it is complete, or the machine ends it."""
        if self._transfers.get(client) is not transfer:
            # It ended after its socket was found readable.
            return
        try:
            step()
        except (TftpTimeout, BlockingIOError):
            return
        except (TftpException, OSError) as error:
            self._close(client, f"stopped: {' '.join(str(error).split())}")
            return
        if transfer.state is None:
            self._close(client, "complete")

    def _resend(self) -> None:
        now = time.monotonic()
        for client, transfer in list(self._transfers.items()):
            if now - transfer.sent < RESEND_SECONDS:
                continue
            if transfer.resent >= RESENDS:
                self._close(client, "stopped: the machine no longer answers")
                continue
            self._step(client, transfer, transfer.again)

    def _close(self, client: tuple[str, int], how: str) -> None:
        transfer = self._transfers.pop(client)
        self._loop.remove(transfer.connected)
        transfer.end()
        self._tell(client, how, transfer.told())

    def _refuse(self, client: tuple[str, int], code: int) -> None:
        packet = TftpPacketERR()
        packet.errorcode = code
        with contextlib.suppress(OSError):
            self._socket.sendto(packet.encode().buffer, client)

    def _tell(self, client: tuple[str, int], how: str, sent: Transfer) -> None:
        mac, detail = neighbour_mac(client[0]), f"{sent.file}: {how}"
        self._on_event(BootEvent(mac, BootStage.TFTP, detail, client[0], sent))


class _Lossy:
    """A transfer's socket, to which a full queue is a lost packet: it is sent again like any other."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def sendto(self, data: bytes, _to: tuple[str, int]) -> None:
        """Send to the one this socket is connected to. Raises OSError when that one is gone."""
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise

    def close(self) -> None:
        """Free the port."""
        self._socket.close()


class _Transfer(TftpContextServer):  # type: ignore[misc]  # tftpy has no types
    """tftpy's transfer, on our socket and from our stream.

    Only what moves it on counts as a sign of life: a machine that repeats itself (it waits for a block
    that was lost) neither puts off that block's next sending nor keeps the transfer for ever.
    """

    def __init__(
        self,
        sock: socket.socket,
        client: tuple[str, int],
        request: TftpRequest,
        stream: IO[bytes],
        size: int,
    ) -> None:
        super().__init__(
            client[0], client[1], RESEND_SECONDS, "", self._give, retries=RESENDS, flock=False
        )
        self.sock.close()
        self.sock: _Lossy = _Lossy(sock)
        self.connected = sock
        self.metrics = _Uncounted()
        self.request = request
        self._size, self._stream = size, stream
        self.sent = time.monotonic()
        self.acknowledged = self.resent = 0

    def begin(self) -> None:
        """Send the first packet: the options, or the first block when none were asked for."""
        self.state = _Accepted(self).handle(self.request, self.host, self.port)

    def receive(self) -> None:
        """Take the machine's next packet. Raises OSError (none there, it is gone), TftpException."""
        data = self.connected.recv(LARGEST_ANSWER)
        if data[:2] not in (ACKNOWLEDGED, ENDED) or len(data) < 4:
            # Nothing that a reader sends (RFC 1350): not worth ending what goes well.
            log.debug("from %s: no acknowledgement (%s)", self.host, data[:4].hex())
            return
        before = self.next_block
        self.state = self.state.handle(self.factory.parse(data), self.host, self.port)
        if self.state is None or self.next_block != before:
            self.acknowledged += 1
            self.resent, self.sent = 0, time.monotonic()

    def again(self) -> None:
        """Send the last packet once more."""
        self.resent, self.sent = self.resent + 1, time.monotonic()
        self.state.resendLast()

    def told(self) -> Transfer:
        """How far it came, now that it is over: the last block counts once it is acknowledged."""
        waits = len(getattr(self.last_pkt, "data", b"")) if self.state is not None else 0
        done = max(self.metrics.bytes - waits, 0)
        return Transfer(bootnames.canonical(self.request.name), done, self._size, over=True)

    def _give(self, _name: str, **_who: Any) -> IO[bytes]:
        return self._stream


class _Uncounted(TftpMetrics):  # type: ignore[misc]  # tftpy has no types
    """tftpy's figures of a transfer, but for duplicates: it would end a transfer after twenty of one."""

    def add_dup(self, _packet: object) -> None:
        """A network may double what it likes."""


class _Accepted(TftpStateServerRecvRRQ):  # type: ignore[misc]  # tftpy has no types
    """tftpy's state after a read request, with our own reading of the request."""

    def serverInitial(self, request: TftpRequest, _address: str, port: int) -> bool:  # noqa: N802
        """Set the transfer up; True when options are to be acknowledged first."""
        self.context.tidport = port
        self.context.file_to_transfer = request.name
        self.context.options = request.granted()
        # tftpy looks for a file of this path before it asks for our stream: there is none.
        self.full_path = ""
        return bool(self.context.options)

"""HTTP for kernel, initrds, scripts, images, UEFI HTTP boot; GET, HEAD, ranges, tags (RFC 9110)."""

from __future__ import annotations

import logging
import re
import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from castcore.boot import BootEvent, BootStage, Transfer, bootnames
from castcore.edge.net.bootsockets import neighbour_mac
from castcore.edge.net.portholder import bind_error
from castcore.edge.net.tcpstate import acknowledged

from castserver.services.bootfiles import BootFile, Offered
from castserver.services.conditions import has_it, range_counts

log = logging.getLogger(__name__)

# A connection that is silent this long is dropped: firmware asks at once or never.
IDLE_SECONDS = 30
COPY_BYTES = 1 << 18
MOST_CONNECTIONS = 1000
# One address may not take the places of all. A machine has one or two, a cache before machines more.
MOST_OF_ONE_ADDRESS = 100
POLL_SECONDS = 0.1
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Span:
    """The bytes ``first`` up to, not including, ``end``; ``partial``: a range was asked for."""

    first: int
    end: int
    partial: bool


def span_of(header: str, size: int) -> Span | None:
    """What a Range ``header`` asks of a file of ``size`` bytes; None when no byte of it exists.

    Several ranges, other units and damaged headers get the whole file (RFC 9110 section 14.2).
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return Span(0, size, partial=False)
    first, last = match.groups()
    if not first:
        # The last N bytes.
        return Span(max(size - int(last), 0), size, partial=True) if int(last) and size else None
    begin, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < begin:
        return Span(0, size, partial=False)
    return Span(begin, end, partial=True) if begin < size else None


class BootHttp:
    """Serves ``files.over_http`` on ``address:port``. Raises NotFound, PortTaken, Refused."""

    def __init__(
        self, address: str, port: int, files: Offered, on_event: Callable[[BootEvent], None]
    ) -> None:
        try:
            self._server = _Server(address, port, files, on_event)
        except OSError as error:
            raise bind_error(error, "tcp", address, port) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name=f"http {address}", daemon=True
        )

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting and free the port; transfers under way go on to their end."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(
        self, address: str, port: int, files: Offered, on_event: Callable[[BootEvent], None]
    ) -> None:
        self.files, self.on_event = files, on_event
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's reverse DNS query, which hangs where there is no name server."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a thread; beyond the most allowed, drop it: clients ask again."""
        address = str(client_address[0])
        if not self._enter(address):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # its thread, which gives the place back, did not start
            self._leave(address)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A connection's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(str(client_address[0]))

    def _enter(self, address: str) -> bool:
        with self._lock:
            full = self._open.total() >= MOST_CONNECTIONS
            if full or self._open[address] >= MOST_OF_ONE_ADDRESS:
                return False
            self._open[address] += 1
            return True

    def _leave(self, address: str) -> None:
        with self._lock:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that broke (firmware resets them at will) is not worth a trace on the screen."""
        log.debug("the connection from %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Fleetcast"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """A file or a part of it."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """A file's size (GRUB and UEFI ask for it first)."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are boot events, not lines on standard error."""
        log.debug(format, *args)

    def _answer(self, *, body: bool) -> None:
        # http.server leaves a request's body unread; ours never have one, so such a peer is dropped.
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        assert isinstance(self.server, _Server)
        name = bootnames.canonical(unquote(urlsplit(self.path).path, errors="replace"))
        file = self.server.files.over_http(name)
        if file is None:
            self._nothing(HTTPStatus.NOT_FOUND)
        elif has_it(self._header("If-None-Match"), file.tag):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._caching(file)
            self.end_headers()
        else:
            self._file(name, file, body=body)

    def _file(self, name: str, file: BootFile, *, body: bool) -> None:
        asked = self._header("Range") if range_counts(self._header("If-Range"), file.tag) else ""
        span = span_of(asked, file.size)
        if span is None:
            self._nothing(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{file.size}")
            return
        try:
            stream = file.open()
        except OSError as error:
            self._fail(file, f"{bootnames.shown(name)} is not served: {error.strerror}")
            self._nothing(HTTPStatus.NOT_FOUND)
            return
        with stream:
            self._headers(file, span)
            if body:
                self._send(name, file, stream, span)

    def _header(self, name: str) -> str:
        return ", ".join(self.headers.get_all(name, ()))

    def _headers(self, file: BootFile, span: Span) -> None:
        self.send_response(HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK)
        self.send_header("Content-Type", file.media_type)
        self.send_header("Content-Length", str(span.end - span.first))
        self.send_header("Accept-Ranges", "bytes")
        self._caching(file)
        if span.partial:
            self.send_header("Content-Range", f"bytes {span.first}-{span.end - 1}/{file.size}")
        self.end_headers()

    def _caching(self, file: BootFile) -> None:
        self.send_header("Cache-Control", file.caching)
        if file.tag:
            self.send_header("ETag", f'"{file.tag}"')

    def _nothing(self, status: HTTPStatus, content_range: str = "") -> None:
        """Answer without a file. Never an empty body: shim 16.1 on OVMF waits for one for ever."""
        text = f"{status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _send(self, name: str, file: BootFile, stream: IO[bytes], span: Span) -> None:
        sent = Transfer(name, span.first, file.size)
        self._tell(file, f"sending {span.end - span.first} bytes", sent)
        how = "stopped: the machine broke it off"
        try:
            stream.seek(span.first)
            while sent.done < span.end and (
                piece := self._piece(name, file, stream, span.end - sent.done)
            ):
                self.wfile.write(piece)
                sent = replace(sent, done=sent.done + len(piece))
            how = "complete" if sent.done == span.end else "stopped: the file has changed"
        finally:
            self._tell(file, how, replace(sent, over=True))
        if sent.done < span.end:
            # The promised length cannot be kept, so the connection must end.
            self.close_connection = True
        elif file.sent is not None and acknowledged(self.connection, IDLE_SECONDS):
            file.sent()

    def _piece(self, name: str, file: BootFile, stream: IO[bytes], left: int) -> bytes:
        """The next bytes; none when the file has changed under us, and never those of another one."""
        try:
            return stream.read(min(left, COPY_BYTES))
        except OSError as error:
            self._fail(file, f"{bootnames.shown(name)} was cut off: {error.strerror}")
            return b""

    def _tell(self, file: BootFile, how: str, sent: Transfer) -> None:
        if not file.quiet:
            stage = BootStage.KERNEL if bootnames.is_kernel(sent.file) else BootStage.HTTP
            self._event(file, stage, f"{bootnames.shown(sent.file)}: {how}", sent)

    def _fail(self, file: BootFile, detail: str) -> None:
        self._event(file, BootStage.FAILED, detail)

    def _event(
        self, file: BootFile, stage: BootStage, detail: str, sent: Transfer | None = None
    ) -> None:
        assert isinstance(self.server, _Server)
        address = str(self.client_address[0])
        mac = file.mac or neighbour_mac(address)
        self.server.on_event(BootEvent(mac, stage, detail, address, sent))

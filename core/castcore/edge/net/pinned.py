"""HTTPS to one server whose certificate is known by its digest: names, dates and issuers play no part.

Clocks are wrong in a boot environment and a server in a workshop has no name, so the certificate
itself is what is trusted: its SHA-256 comes from a signed OFFER or statement, and is compared after
the handshake, before the first byte of a request leaves.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from castcore import statement
from castcore.errors import (
    BadPacket,
    Busy,
    FleetcastError,
    NetworkFailed,
    NoSpace,
    NotFound,
    Refused,
    Untrusted,
)
from castcore.proof import NONCE_HEADER, PROOF_HEADER, Prover
from castcore.statement import ServerStatement

TIMEOUT = 20.0
# A control message (a registration with dozens of disks) stays far below; images have other limits.
JSON_LIMIT = 4 << 20
ERROR_LIMIT = 16 << 10
_DEFAULT_PORT = 443

BYTES = "application/octet-stream"

CertificateCheck = Callable[[bytes], None]


class TokenRefused(Refused):
    """Our token is unknown there; another one may have been asked for meanwhile."""


class _StaleNonce(TokenRefused):
    """The server wants another nonce in the proof."""

    def __init__(self, nonce: str, error: FleetcastError) -> None:
        super().__init__(error.what, hint=error.hint)
        self.nonce = nonce


class Rejected(NetworkFailed):
    """The server does not take what we say, and will not when it is said again."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, and what may be waited for and read."""

    method: str
    path: str
    body: bytes | None
    timeout: float
    limit: int
    kind: str


class PinnedHttps:
    """Requests to ``url``, each thread over a kept-alive connection of its own.

    ``token``, when set, goes with every request as a bearer token; a client's ``prover`` has its own and
    proves each request. Both may be replaced at any time.
    """

    def __init__(
        self, url: str, certificate_digest: bytes, token: str = "", prover: Prover | None = None
    ) -> None:
        self.move(url)
        self.token, self.prover = token, prover
        self.certificate_digest = certificate_digest
        self._local = threading.local()

    def move(self, url: str) -> None:
        """The same server is at ``url`` now: later requests go there. Raises NetworkFailed."""
        self.host, self.port = host_and_port(url)
        self.url = url.rstrip("/")

    def get(self, path: str, *, timeout: float = TIMEOUT, limit: int = JSON_LIMIT) -> bytes:
        """The body of GET ``path``, at most ``limit`` bytes, each wait at most ``timeout`` seconds.

        Raises NetworkFailed, Untrusted (another certificate), NotFound (404), Refused (401, 403),
        NoSpace (507).
        """
        return self._request("GET", path, None, timeout, limit)

    def get_json(self, path: str, *, timeout: float = TIMEOUT) -> Any:
        """The JSON value of GET ``path``. Raises as ``get``."""
        return self.parsed(path, self.get(path, timeout=timeout))

    def post_json(self, path: str, value: Any, *, timeout: float = TIMEOUT) -> Any:
        """The JSON answer to POST ``path`` with ``value``. Raises as ``get``.

        A request may arrive twice when a kept-alive connection breaks under it: everything we post
        states what is, so saying it again changes nothing.
        """
        body = json.dumps(value).encode()
        return self.parsed(path, self._request("POST", path, body, timeout, JSON_LIMIT))

    def post(
        self, path: str, body: bytes, *, timeout: float = TIMEOUT, limit: int = JSON_LIMIT
    ) -> bytes:
        """The answer to POST ``path`` with the bytes ``body``; may arrive twice, as in ``post_json``."""
        return self._request("POST", path, body, timeout, limit, BYTES)

    def put_json(self, path: str, value: Any, *, timeout: float = TIMEOUT) -> Any:
        """The JSON answer to PUT ``path`` with ``value``. Raises as ``get``."""
        body = json.dumps(value).encode()
        return self.parsed(path, self._request("PUT", path, body, timeout, JSON_LIMIT))

    def close(self) -> None:
        """Close this thread's connection."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float,
        limit: int,
        kind: str = "application/json",
    ) -> bytes:
        prover, asked = self.prover, _Asked(method, path, body, timeout, limit, kind)
        try:
            return self._delivered(asked, prover)
        except _StaleNonce as error:
            # The server has started anew, or has not met us yet: once more, with the nonce it gave.
            assert prover is not None
            prover.nonce = error.nonce
        return self._delivered(asked, prover)

    def _delivered(self, asked: _Asked, prover: Prover | None) -> bytes:
        reused = getattr(self._local, "connection", None) is not None
        try:
            return self._once(asked, prover)
        except (OSError, http.client.HTTPException) as error:
            # A server closes idle connections; only a fresh one that fails says that it is gone.
            if not reused or isinstance(error, TimeoutError):
                raise self._gone(error) from None
        try:
            return self._once(asked, prover)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from None

    def _once(self, asked: _Asked, prover: Prover | None) -> bytes:
        connection = self._connection(asked.timeout)
        headers = {"Host": _host_header(connection.host, connection.port)}
        token = prover.token if prover is not None else self.token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        proof = prover.header(asked.method, asked.path, asked.body or b"") if prover else ""
        if proof:
            headers[PROOF_HEADER] = proof
        if asked.body is not None:
            headers["Content-Type"] = asked.kind
        try:
            connection.request(asked.method, asked.path, asked.body, headers)
            response = connection.getresponse()
            data = response.read(asked.limit + 1 if response.status < 400 else ERROR_LIMIT)
        except BaseException:
            self.close()
            raise
        return self._taken(asked, response, data, prover)

    def _taken(
        self, asked: _Asked, response: http.client.HTTPResponse, data: bytes, prover: Prover | None
    ) -> bytes:
        """The body ``data`` of an answer that says yes, and is whole; else what it says is raised."""
        limit = asked.limit
        if response.status < 400 and response.length and len(data) <= limit:
            self.close()  # http.client does not tell an answer cut short from a whole one
            raise http.client.IncompleteRead(data, response.length)
        if not response.isclosed():  # an unread rest would be taken for the next answer
            self.close()
        if response.status >= 400:
            error = _status_error(self.url, asked.path, response.status, data)
            nonce = response.getheader(NONCE_HEADER, "")
            if response.status == 401 and prover is not None and nonce not in ("", prover.nonce):
                raise _StaleNonce(nonce, error)
            raise error
        if len(data) > limit:
            raise NetworkFailed(f"{self.url}{asked.path} answered with more than {limit} bytes")
        return data

    def _connection(self, timeout: float) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        place = self.host, self.port
        if connection is not None and (connection.host, connection.port) != place:
            connection.close()
        if connection is None or connection.sock is None:
            connection = _Connection(*place, timeout, self._check)
            connection.connect()
            self._local.connection = connection
        connection.sock.settimeout(timeout)
        return connection

    def _check(self, certificate: bytes) -> None:
        shown = hashlib.sha256(certificate).digest()
        if shown != self.certificate_digest:
            raise Untrusted(
                f"{self.url} shows certificate {shown.hex()[:16]}…,"
                f" not the expected {self.certificate_digest.hex()[:16]}…",
                hint="another program or machine answers at this address",
            )

    def _gone(self, error: Exception) -> NetworkFailed:
        reason = str(error) or type(error).__name__
        return NetworkFailed(
            f"no answer from {self.url}: {reason}", hint="check that the server runs and is reachable"
        )

    def parsed(self, path: str, data: bytes) -> Any:
        """The JSON value that ``path`` answered with. Raises NetworkFailed."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise NetworkFailed(f"{self.url}{path} did not answer with JSON") from None


def fetch_statement(
    url: str, server_key: bytes, *, timeout: float = TIMEOUT, interface: str = ""
) -> ServerStatement:
    """Who answers at ``url``, proven to be the holder of ``server_key`` by its signed statement.

    The certificate of this very connection must be the one the statement names. With ``interface`` it
    goes that way, whatever the routes say. Raises NetworkFailed, Untrusted.
    """
    host, port = host_and_port(url)
    shown: list[bytes] = []
    connection = _Connection(host, port, timeout, shown.append, interface)
    try:
        connection.request("GET", statement.PATH, headers={"Host": _host_header(host, port)})
        response = connection.getresponse()
        data = response.read(statement.MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NetworkFailed(
            f"no answer from {url}: {error}", hint="check that the server runs and is reachable"
        ) from None
    finally:
        connection.close()
    try:
        proven = statement.open_statement(data, server_key)
    except BadPacket as error:
        raise NetworkFailed(f"{url} is no Fleetcast server: {error.what}") from None
    if proven.certificate_digest != hashlib.sha256(shown[0]).digest():
        raise Untrusted(
            f"{url} shows a certificate that is not the server's own",
            hint="something between this machine and the server answers in its place",
        )
    return proven


def zoned(url: str, interface: str) -> str:
    """``url`` as this machine can use it: a link-local address names the ``interface`` it is reached by.

    A zone means something on one machine only (RFC 4007, 6), so no OFFER carries one that counts.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        bare = host.partition("%")[0]
        if not ipaddress.IPv6Address(bare).is_link_local:
            return url
    except ValueError:
        return url
    ending = f":{port}" if port else ""
    return f"{parts.scheme}://[{bare}%{interface}]{ending}{parts.path}"


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port of an https ``url``. Raises NetworkFailed when it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme != "https" or not host:
        raise NetworkFailed(f"{url!r} is no https address", hint="give it as https://ADDRESS:PORT")
    return host, port


def _host_header(host: str, port: int) -> str:
    """What a request says of its host: without the zone, which is ours alone (RFC 6874, 4)."""
    bare = host.partition("%")[0]
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


class _Connection(http.client.HTTPSConnection):
    """A TLS connection that shows its certificate to ``check`` before it is used."""

    def __init__(
        self, host: str, port: int, timeout: float, check: CertificateCheck, interface: str = ""
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the digest below is the whole check
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(host, port, timeout=timeout, context=context)
        self._show, self._tls, self._interface = check, context, interface

    def connect(self) -> None:
        if self._interface:
            bound = _bound_connection(self.host, self.port, self.timeout, self._interface)
            self.sock = self._tls.wrap_socket(bound)
        else:
            super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._show(self.sock.getpeercert(binary_form=True) or b"")
        except BaseException:
            self.close()
            raise


def _bound_connection(host: str, port: int, timeout: float | None, interface: str) -> socket.socket:
    """A TCP connection that leaves through ``interface``. Raises OSError."""
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _status_error(url: str, path: str, status: int, body: bytes) -> FleetcastError:
    said, hint = _said(body)
    text = f"{url} says: {said}" if said else f"{url}{path} answered with status {status}"
    if status == 404:
        return NotFound(text, hint=hint)
    if status == 401:
        return TokenRefused(text, hint=hint)
    if status == 403:
        return Refused(text, hint=hint)
    if status == 507:
        return NoSpace(text, hint=hint)
    if status in (413, 422):
        return Rejected(text, hint=hint)
    if status == 503:
        return Busy(text, hint=hint)
    return NetworkFailed(text, hint=hint)


def _said(body: bytes) -> tuple[str, str]:
    """What an error answer says: our own ``error`` and ``hint``, else the framework's ``detail``."""
    try:
        value = json.loads(body)
        return str(value.get("error") or value.get("detail") or ""), str(value.get("hint") or "")
    except (ValueError, AttributeError, RecursionError):
        return "", ""

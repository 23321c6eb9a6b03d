"""Pinned HTTPS against a real TLS server on the loopback interface."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from castcore import statement
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.pinned import PinnedHttps, fetch_statement
from castcore.errors import NetworkFailed, NotFound, Refused, Untrusted
from castcore.statement import ServerStatement, encode_statement
from castcore.trust import SigningKey

pytestmark = pytest.mark.root


class Server(http.server.ThreadingHTTPServer):
    """A TLS server that counts what reaches it."""

    daemon_threads = True

    def __init__(self, identity: ServerIdentity) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.private_key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.identity = identity
        self.statement = b""
        self.connections: set[tuple[str, int]] = set()
        self.requests: list[tuple[str, str]] = []
        self.url = f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_args: object) -> None:
        """A client that hangs up on us is what some tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.connections.add(self.client_address)
        self.server.requests.append((self.path, self.headers.get("Authorization", "")))
        answers = {
            "/large": (200, b"x" * 1000),
            statement.PATH: (200, self.server.statement),
            "/denied": (401, b'{"error": "who are you", "hint": "register"}'),
            "/api/v1/casts/c1/chunks/7": (200, b"seven"),
            "/api/v1/casts/c1/descriptor": (401, b"{}"),
            "/hangup": (200, b"bye"),
            "/broken": (500, b"<html>"),
        }
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
            return
        status, body = answers.get(self.path, (404, b'{"detail": "no such thing"}'))
        self._answer(status, body)
        self.close_connection = self.path == "/hangup"  # as a server does with idle connections

    def do_POST(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, json.dumps({"got": value}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    identity = ServerIdentity.ephemeral()
    running = Server(identity)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()
    identity.close()


def pinned(server: Server, token: str = "") -> PinnedHttps:
    return PinnedHttps(server.url, server.identity.certificate_digest, token)


def test_requests_reuse_one_connection_and_carry_the_token(server: Server) -> None:
    https = pinned(server, "first")
    assert https.get("/large") == b"x" * 1000
    https.token = "second"
    assert https.get("/large") == b"x" * 1000
    assert https.post_json("/any", {"a": [1]}) == {"got": {"a": [1]}}
    assert server.requests == [("/large", "Bearer first"), ("/large", "Bearer second")]
    assert len(server.connections) == 1


def test_each_thread_has_its_own_connection(server: Server) -> None:
    https = pinned(server)
    https.get("/large")
    threads = [threading.Thread(target=https.get, args=("/large",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.connections) == 5


def test_another_certificate_gets_no_request(server: Server) -> None:
    https = PinnedHttps(server.url, bytes(32), "secret")
    with pytest.raises(Untrusted, match="not the expected"):
        https.get("/large")
    assert server.requests == []


def test_errors_are_told_apart(server: Server) -> None:
    https = pinned(server)
    with pytest.raises(NotFound, match="no such thing"):
        https.get("/nothing")
    with pytest.raises(Refused, match="who are you") as refused:
        https.get("/denied")
    assert refused.value.hint == "register"
    with pytest.raises(NetworkFailed, match="status 500"):
        https.get("/broken")
    with pytest.raises(NetworkFailed, match="more than 999 bytes"):
        https.get("/large", limit=999)
    with pytest.raises(NetworkFailed, match="no answer"):
        https.get("/short")
    with pytest.raises(NetworkFailed, match="JSON"):
        https.get_json("/large")
    assert https.get("/large") == b"x" * 1000, "and the connection still works"


def test_a_kept_connection_that_the_server_closed_is_opened_anew(server: Server) -> None:
    https = pinned(server)
    assert https.get("/hangup") == b"bye"
    assert https.get("/large") == b"x" * 1000
    assert len(server.connections) == 2


def test_a_server_that_is_gone_is_said(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(NetworkFailed, match="no answer from https:"):
        PinnedHttps(url, server.identity.certificate_digest).get("/large")


def test_a_server_that_never_answers_does_not_hold_us(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        https = PinnedHttps(f"https://127.0.0.1:{silent.getsockname()[1]}", bytes(32))
        with pytest.raises(NetworkFailed, match="timed out"):
            https.get("/large", timeout=0.3)


def test_a_cast_is_fetched_and_an_old_token_is_worth_another_try(server: Server) -> None:
    control = HttpsCastControl(pinned(server), "c1")
    assert control.chunk(7) == b"seven"
    with pytest.raises(NetworkFailed):
        control.descriptor()
    with pytest.raises(NotFound):
        control.chunk(8)


def signed(server: Server, key: SigningKey, certificate: bytes) -> bytes:
    return encode_statement(ServerStatement(key.public, certificate, server.url, "shop"), key)


def test_the_certificate_is_learned_from_the_signed_statement(server: Server) -> None:
    key, certificate = server.identity.key, server.identity.certificate_digest
    server.statement = signed(server, key, certificate)
    proven = fetch_statement(server.url, key.public)
    assert proven.certificate_digest == certificate
    assert PinnedHttps(server.url, proven.certificate_digest).get("/large")


def test_somebody_in_between_cannot_pass_on_the_real_statement(server: Server) -> None:
    real_key = SigningKey.generate()
    real_certificate = hashlib.sha256(b"the real server's").digest()
    server.statement = signed(server, real_key, real_certificate)
    with pytest.raises(Untrusted, match="not the server's own"):
        fetch_statement(server.url, real_key.public)


def test_another_servers_key_is_refused(server: Server) -> None:
    key = server.identity.key
    server.statement = signed(server, key, server.identity.certificate_digest)
    with pytest.raises(Untrusted, match="not the expected"):
        fetch_statement(server.url, SigningKey.generate().public)


def test_a_web_server_that_is_none_of_ours(server: Server) -> None:
    server.statement = b"<html>hello</html>"
    with pytest.raises(NetworkFailed, match="no Fleetcast server"):
        fetch_statement(server.url, server.identity.key.public)

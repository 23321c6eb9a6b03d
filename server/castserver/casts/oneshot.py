"""One cast on the air without a server: found by DISCOVER, joined over TLS, gone when it has ended.

Its key lives as long as the process. Whoever finds it may join: what it casts is as public as the
network is, and receivers compare the four-word code before they trust it.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

from castcore.cast.peers import Peers
from castcore.cast.status import LegNow
from castcore.control import API, ONE_SHOT
from castcore.edge.cast.responder import DiscoveryResponder, OfferFields
from castcore.edge.cast.sender import CastSender
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.interface import Interface
from castcore.edge.net.portholder import holder
from castcore.errors import FleetcastError, NetworkFailed, NotFound, PortTaken
from castcore.statement import PATH, ServerStatement, encode_statement
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from castserver.api.app import STATUS
from castserver.casts import castroutes
from castserver.casts.castrun import HERE
from castserver.casts.legrun import left
from castserver.casts.wayin import WayIn
from castserver.images.library import LibraryImage
from castserver.machines.presented import Presented
from castserver.webserver import web_server

START_SECONDS = 20.0
STOP_SECONDS = 3
# What a receiver calls itself: its host name and something random.
TOKEN = re.compile(r"[A-Za-z0-9.-]{1,80}")


class OneShot:
    """The unicast side of one cast; ``image`` and ``sender`` stay the caller's to close.

    ``lost``: why its interface carries nothing any more ("": it does).
    """

    lost = ""

    def __init__(
        self,
        image: LibraryImage,
        sender: CastSender,
        identity: ServerIdentity,
        interface: Interface,
        https_port: int,
    ) -> None:
        self._image, self.sender = image, sender
        self._identity, self.interface = identity, interface
        self._https_port = https_port
        self._joined: dict[str, float] = {}
        self._stack = ExitStack()
        self._over = ""
        self.url = ""

    @property
    def joined(self) -> frozenset[str]:
        """The clients that have joined."""
        return frozenset(self._joined)

    def start(self) -> None:
        """Be found and let clients join. Raises PortTaken, NetworkFailed."""
        with ExitStack() as undo:
            listener = _listener(self.interface, self._https_port)
            undo.callback(listener.close)
            self.url = f"https://{self.interface.host}:{listener.getsockname()[1]}"
            self._serve(listener, undo)
            key, heard_on = self._identity.key, [self.interface]
            responder = DiscoveryResponder(lambda _: self._offer(), key, heard_on)
            responder.start()
            undo.callback(responder.stop)
            self._stack = undo.pop_all()

    def end(self, why: str) -> None:
        """Tell whoever asks for anything more that the cast is over, and ``why``."""
        self._over = why

    def give_up(self, why: str) -> None:
        """The interface is lost: send no more, and tell whoever still reaches us ``why``."""
        self.lost = why
        self.end(f"the sender lost its interface: {why}")
        self.sender.stop()

    def now(self) -> LegNow:
        """How this leg stands."""
        status = self.sender.status()
        now = left(status) if self.lost else status
        return LegNow(self.interface.name, now, self.lost, joins=self._joined.copy())

    def stop(self) -> None:
        """Leave the network."""
        self._stack.close()

    # -- castroutes.CastDirectory and castroutes.RunningCast

    def find(self, cast: str, _way: WayIn = HERE) -> castroutes.RunningCast | None:
        """This cast, by its id."""
        return self if cast == ONE_SHOT else None

    @property
    def image(self) -> LibraryImage:
        """The image. Raises NotFound with the reason when the cast was ended early."""
        self._require_going()
        return self._image

    def current_sender(self) -> castroutes.Sender:
        """The sender, the only one. Raises NotFound with the reason when the cast was ended early."""
        self._require_going()
        return self.sender

    def authorize(self, shown: Presented) -> str | None:
        """The name a client gives itself: everyone may take part."""
        return shown.token if TOKEN.fullmatch(shown.token) else None

    def join(self, client: str, held: bytes) -> castroutes.Answer:
        """Let ``client`` take part. Raises NotFound with the reason when the cast was ended early."""
        self._require_going()
        answer = self.sender.join(client, held)
        self._joined[client] = time.monotonic()
        return answer

    def peers(self, client: str, address: str) -> Peers:
        """Who has finished and serves chunks."""
        return self.sender.peers(client, address)

    # -- inside

    def _require_going(self) -> None:
        failure = self.sender.failure
        if self._over or failure is not None:
            raise NotFound(self._over or str(failure), hint="ask the sender's operator to cast again")

    def _offer(self) -> OfferFields | None:
        if self.lost:
            return None
        casts = () if self.sender.finished() else (ONE_SHOT,)
        return OfferFields(self.url, self._identity.certificate_digest, socket.gethostname(), casts)

    def _app(self) -> FastAPI:
        app = FastAPI(title="fleetcast send", docs_url=None, redoc_url=None)
        app.include_router(castroutes.router(self), prefix=API)
        app.add_exception_handler(FleetcastError, _refusal)
        key, certificate = self._identity.key, self._identity.certificate_digest
        name = socket.gethostname()
        statement = encode_statement(ServerStatement(key.public, certificate, self.url, name), key)

        async def who(_: Request) -> Response:
            return Response(statement, media_type="application/json")

        app.add_route(PATH, who)
        return app

    def _serve(self, listener: socket.socket, undo: ExitStack) -> None:
        web = web_server(self._app(), self._identity, stop=STOP_SECONDS)
        thread = threading.Thread(target=web.run, args=([listener],), name="web", daemon=True)
        thread.start()

        def stop() -> None:
            # What it then says of connections that receivers keep open is no news.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            web.should_exit = True
            thread.join()

        undo.callback(stop)
        end = time.monotonic() + START_SECONDS
        while not web.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise NetworkFailed(f"the listener at {self.url} did not start")
            time.sleep(0.02)


def _refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FleetcastError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    body: dict[str, Any] = {"error": error.what, "hint": error.hint}
    return JSONResponse(body, status_code=status)


def _listener(interface: Interface, port: int) -> socket.socket:
    listener = socket.socket(interface.family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(interface.reach(interface.address, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"TCP port {port} is taken by {holder('tcp', port) or 'another program'}: {error.strerror}",
            hint="stop that program, or choose another with --https-port",
        ) from None
    return listener

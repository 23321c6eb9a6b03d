"""The web server under an application: TLS by our own certificate, and nothing said of itself."""

from __future__ import annotations

import uvicorn
from castcore.edge.net.identity import ServerIdentity
from starlette.types import ASGIApp


def web_server(
    app: ASGIApp, identity: ServerIdentity, *, stop: int, waiting: int = 2048, idle: int = 5
) -> uvicorn.Server:
    """One that serves ``app``, not started yet.

    ``stop`` and ``idle``: seconds that requests may take at its end, and that a connection is kept
    without one; ``waiting``: connections that may wait to be accepted.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_certfile=identity.certificate,
            ssl_keyfile=identity.private_key,
            lifespan="off",
            loop="uvloop",
            http="h11",  # bounds what a request's head may take
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=waiting,
            timeout_keep_alive=idle,
            timeout_graceful_shutdown=stop,
        )
    )

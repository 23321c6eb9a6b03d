"""The web side of a :class:`tests.support.serverlab.ServerLab`: its application, and proven requests."""

from __future__ import annotations

from functools import cache
from typing import Any

from castcore.proof import NONCE_HEADER, PROOF_HEADER, Prover
from castserver.api.app import make_app
from castserver.casts.castmodel import Cast
from castserver.casts.castroutes import RunningCast
from castserver.casts.casts import Casts
from castserver.casts.durables import Durables
from castserver.casts.wayin import WayIn
from castserver.parts import ServerParts
from fastapi import FastAPI
from fastapi.testclient import TestClient


class LabHttp(TestClient):
    """Requests with a fake client's token carry its proof, unless a test gave them another."""

    def __init__(self, app: Any, provers: dict[str, Prover]) -> None:
        super().__init__(app, base_url="https://testserver", raise_server_exceptions=False)
        self._provers = provers

    def send(self, request: Any, **options: Any) -> Any:
        """As the real client: once more, with the nonce of a server that started anew."""
        prover = self._provers.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if prover is None or PROOF_HEADER in request.headers:
            return super().send(request, **options)
        target = request.url.raw_path.decode()
        request.headers[PROOF_HEADER] = prover.header(request.method, target)
        answer = super().send(request, **options)
        nonce = answer.headers.get(NONCE_HEADER, prover.nonce)
        if answer.status_code != 401 or nonce == prover.nonce:
            return answer
        prover.nonce = nonce
        request.headers[PROOF_HEADER] = prover.header(request.method, target)
        return super().send(request, **options)


class _CurrentCasts:
    """The casts of whichever server the one application stands for now."""

    casts: Casts

    @property
    def durables(self) -> Durables:
        return self.casts.durables

    def find(self, cast: str, way: WayIn) -> RunningCast | None:
        return self.casts.find(cast, way)

    def get(self, name: str) -> Cast:
        return self.casts.get(name)

    def claim(self, cast: Cast, client: str) -> None:
        self.casts.claim(cast, client)


_current = _CurrentCasts()


@cache
def _application() -> FastAPI:
    """Made once: a framework takes its time over the first request to a new application."""
    return make_app("testlab", _current)


def current_app(parts: ServerParts) -> FastAPI:
    """The one application, standing for the server with these ``parts`` from now on."""
    app = _application()
    app.state.parts, _current.casts = parts, parts.casts
    return app

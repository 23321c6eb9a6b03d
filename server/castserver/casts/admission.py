"""One cast as :mod:`castserver.casts.castroutes` wants it, for a client that came in by one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from castcore.cast.peers import Peers
from castcore.errors import NotFound

from castserver.casts import castroutes
from castserver.casts.castmodel import Cast
from castserver.casts.castrun import CastRun
from castserver.casts.legrun import LiveSender, OpenImage
from castserver.casts.wayin import WayIn
from castserver.machines.presented import Presented


class Members(Protocol):
    """What `castserver.casts.casts.Casts` does for who takes part."""

    def authorize(self, shown: Presented) -> str | None:
        """The id of the client that makes a request."""
        ...

    def claim(self, cast: Cast, client: str) -> None:
        """Reserve a licence for ``client``, where the cast needs one. Raises FleetcastError."""
        ...

    def joined(self, cast: Cast, client: str) -> None:
        """``client`` has joined the sender."""
        ...


@dataclass(frozen=True)
class Admission:
    """One cast as :mod:`castserver.casts.castroutes` wants it."""

    casts: Members
    cast: Cast
    way: WayIn

    @property
    def image(self) -> OpenImage:
        """The image being cast."""
        return self._run().image

    def current_sender(self) -> LiveSender:
        """The sender to follow now."""
        return self._run().current_sender(self.way)

    def authorize(self, shown: Presented) -> str | None:
        """The id of the client that makes a request."""
        return self.casts.authorize(shown)

    def join(self, client: str, held: bytes) -> castroutes.Answer:
        """Let ``client`` take part."""
        self.casts.claim(self.cast, client)
        answer = self._run().join(client, held, self.way)
        self.casts.joined(self.cast, client)
        return answer

    def peers(self, client: str, address: str) -> Peers:
        """Who serves chunks to ``client``."""
        return self._run().peers(client, address, self.way)

    def _run(self) -> CastRun:
        run = self.cast.run
        if run is None:
            why = f": {self.cast.message}" if self.cast.message else ""
            raise NotFound(f"the cast is {self.cast.state}{why}", hint="ask the operator to cast again")
        return run

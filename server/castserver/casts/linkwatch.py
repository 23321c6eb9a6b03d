"""Whether an interface can carry a cast: one that is gone, or long without a link, ends its leg."""

from __future__ import annotations

import time
from collections.abc import Callable

from castcore.edge.net import nics
from castcore.edge.net.interface import Interface
from castcore.edge.net.nics import LinkState
from castcore.errors import NetworkFailed

# A switch that restarts, or a cable put into another port, is soon back: clients wait for their sender.
DOWN_SECONDS = 10.0


class LinkWatch:
    """Watches the ``interface``; ``look`` tells how it is, ``clock`` gives seconds."""

    def __init__(
        self,
        interface: Interface,
        look: Callable[[str, str], LinkState] = nics.link_state,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interface, self._look, self._clock = interface, look, clock
        self._well_at = clock()

    def lost(self) -> str:
        """Why no cast can go through it now, "" while one can, or while it may yet come back."""
        try:
            state = self._look(self._interface.name, self._interface.address)
        except NetworkFailed:  # the kernel did not say: nothing is known against it
            return ""
        now = self._clock()
        if state is LinkState.GONE:
            self._well_at = min(self._well_at, now - DOWN_SECONDS)
        elif state is LinkState.UP:
            self._well_at = now
        if now - self._well_at < DOWN_SECONDS:
            return ""
        name, address = self._interface.name, self._interface.address
        return {
            LinkState.GONE: f"the interface {name} is gone",
            LinkState.DOWN: f"{name} has no link",
            LinkState.ANOTHER: f"{name} does not have the address {address} any more",
            LinkState.UP: "",
        }[state]

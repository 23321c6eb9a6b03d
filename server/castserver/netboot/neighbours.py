"""Other Fleetcast servers on our networks: found as clients find us, named to the operator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from castcore.edge.cast.discovery import FoundServer, find_servers

from castserver.netboot.bootstate import Neighbour

LOOK_EVERY, LOOK_SECONDS = 30.0, 1.0


class Neighbours:
    """A thread that looks for servers with another key than ``own`` on ``interfaces`` twice a minute.

    ``tell`` hears of each that has newly come.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        own: bytes,
        tell: Callable[[Neighbour], None],
        find: Callable[[str], list[FoundServer]] | None = None,
    ) -> None:
        self._interfaces, self._own, self._tell = tuple(interfaces), own, tell
        self._find = find or _find
        self._found: tuple[Neighbour, ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def found(self) -> tuple[Neighbour, ...]:
        """Those that answered last time."""
        return self._found

    def look(self) -> None:
        """Look once."""
        before = self._found
        others = {
            Neighbour(server.name, server.url, server.interface)
            for name in self._interfaces
            if not self._stopping.is_set()
            for server in self._find(name)
            if server.key != self._own
        }
        self._found = tuple(sorted(others, key=lambda other: (other.interface, other.url)))
        for other in self._found:
            if other not in before:
                self._tell(other)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(LOOK_EVERY)


def _find(interface: str) -> list[FoundServer]:
    return find_servers([interface], seconds=LOOK_SECONDS)

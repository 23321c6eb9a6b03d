"""Shows what happens: a machine's boot, what is served where, other servers, media, licences."""

from __future__ import annotations

from castcore.boot import BootEvent
from castcore.edge.commandline import Screen

from castserver.licences.licenceterms import LicenceEvent
from castserver.media.mediastate import MediaNow
from castserver.media.mediaviews import media_view
from castserver.netboot.bootstate import Kept, Listeners, Neighbour
from castserver.netboot.bootviews import kept_view


def listeners(screen: Screen) -> Listeners:
    """What shows everything on ``screen``."""
    return Listeners(
        lambda event: show_boot(event, screen),
        KeptScreen(screen).show,
        lambda neighbour: show_neighbour(neighbour, screen),
        MediaScreen(screen).show,
        lambda event: show_licence(event, screen),
    )


def show_boot(event: BootEvent, screen: Screen) -> None:
    """One step of a machine's boot."""
    screen.say(f"boot  {event.mac or '?':17}  {event.stage:9}  {event.detail}")
    screen.emit({"event": "boot", "mac": event.mac, "stage": event.stage, "detail": event.detail})


def show_neighbour(neighbour: Neighbour, screen: Screen) -> None:
    """Another Fleetcast server: machines may follow either."""
    screen.warn(
        f"another Fleetcast server on {neighbour.interface}: {neighbour.name} at {neighbour.url}"
    )
    screen.emit({"event": "neighbour", **vars(neighbour)})


def show_licence(event: LicenceEvent, screen: Screen) -> None:
    """One licence reserved, consumed, given back."""
    who = f"{event.machine} in {event.cast}" if event.machine else event.detail
    screen.say(f"licence  {event.word:8}  {who}  {event.left} left on {event.medium}")
    screen.emit({"event": "licence", **vars(event)})


class MediaScreen:
    """Shows which deploy medium is used, as that changes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said = MediaNow()

    def show(self, now: MediaNow) -> None:
        """``now`` is how it stands."""
        before, self._said = self._said, now
        if now == before:
            return
        medium = now.medium
        if medium is not None and before.used != now.used:
            self._screen.say(f"medium  {medium.name} ({medium.where}) is used")
        elif now.why and now.why != before.why:
            self._screen.warn(f"{now.why}: {now.state}")
        self._screen.emit({"event": "media", **media_view(now).model_dump(mode="json")})


class KeptScreen:
    """Shows how booting stands on interfaces; a warning, a problem and a withdrawal once each."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, frozenset[str]] = {}

    def show(self, kept: Kept) -> None:
        """``kept`` is how it stands now."""
        news = {text: self._screen.warn for text in (kept.warning, kept.problem, kept.note) if text}
        line = f"{kept.mode}: {kept.reason}"
        before = self._said.get(kept.interface, frozenset())
        for text, say in {**news, line: self._screen.say}.items():
            if text not in before:
                say(f"{kept.interface}: {text}")
        self._said[kept.interface] = frozenset((*news, line))
        self._screen.emit({"event": "booting", **kept_view(kept).model_dump(mode="json")})

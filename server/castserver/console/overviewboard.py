"""The live page of the whole server: its state as blocks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from castcore.control import ClientState, Report
from castcore.units import human

from castserver.api.board import BELOW, ROOT, Board, BoardBuilder
from castserver.api.headup import HeadUp, headup, latest_result, pxe_ready
from castserver.api.views import CastView, ClientView, StateView
from castserver.casts.policy import CastState
from castserver.console import page, room, show
from castserver.console.castimages import CastImage
from castserver.console.drawing import Kept
from castserver.console.languages import Language
from castserver.console.machinelist import by_name
from castserver.machines.trustviews import TrustView

# Casts that have ended are history; the latest are shown.
MOST_ENDED = 5
# The entries of the form's list of images.
CAST_IMAGES = "cast-images"
# And those of its groups and tags.
CAST_MARKS = ("cast-groups", "cast-tags")
MOVING = (
    ClientState.RECEIVING,
    ClientState.FILLING,
    ClientState.VERIFYING,
    ClientState.CAPTURING,
)


@dataclass(frozen=True, slots=True)
class MachineRow:
    """What the row of a machine shows; it changes seldom, see `castserver.console.room`."""

    client: str
    name: str
    model: str
    hardware: str
    state: str
    message: str
    why: str
    hint: str
    share: int | None
    rate: int | None
    cast: str
    boots: str
    boot_image: str
    trust: TrustView

    @property
    def label(self) -> str:
        """What people call the machine."""
        return self.name


class OverviewDrawing:
    """Draws the page in one language, again and again."""

    def __init__(
        self,
        state: Callable[[], StateView],
        images: Callable[[], Sequence[CastImage]],
        language: Language,
    ) -> None:
        self._state, self._images, self._language = state, images, language
        row = page.block(language, "live/machinerow.html")
        self._rows = Kept[MachineRow](lambda value: row(row=value))

    def __call__(self) -> Board:
        """The page as it stands."""
        state, now = self._state(), int(time.time())
        made = BoardBuilder()
        made.begin(BELOW)
        self._put(made, "said", said=spoken(state, now), state=state)
        self._put_headup(made, state, now)
        if state.media.media or state.media.why:
            self._put(made, "media", state=state)
        if any(ledger.needed for ledger in state.licences):
            self._put(made, "licences", state=state)
        if state.pxe.interfaces or state.pxe.neighbours:
            self._put(made, "pxe", state=state)
        self._put_casts(made, state, now)
        if state.captures:
            self._put(made, "captures", BELOW, state=state, now=now)
        self._put_machines(made, state)
        if state.booting:
            self._put(made, "boots", BELOW, state=state, now=now)
        self._put_images(made)
        self._put_marks(made, state)
        return made.board()

    def _put(self, made: BoardBuilder, block: str, into: str = ROOT, **values: object) -> None:
        made.put(block, page.block(self._language, f"live/{block}.html")(**values), into)

    def _put_headup(self, made: BoardBuilder, state: StateView, now: int) -> None:
        used = next((m.name or m.where for m in state.media.media if m.used), "")
        self._put(
            made,
            "headup",
            state=state,
            glance=show.glance(state),
            now=now,
            now_is=headup(state, now).value,
            medium=used,
            pxe=pxe_ready(state),
            result=latest_result(state),
        )

    def _put_casts(self, made: BoardBuilder, state: StateView, now: int) -> None:
        ended = [cast for cast in state.casts if cast.state.ended]
        shown = [cast for cast in state.casts if not cast.state.ended or cast in ended[:MOST_ENDED]]
        self._put(made, "casts", any=bool(shown), older=sum(state.cast_counts.values()) - len(shown))
        made.begin("cast-list")
        article = page.block(self._language, "live/cast.html")
        for cast in shown:
            tiles = room.tiles(cast)
            html = article(cast=cast, now=now, counts=room.counts(tiles), trouble=room.troubled(tiles))
            made.put(f"cast-{cast.cast}", html, "cast-list")

    def _put_images(self, made: BoardBuilder) -> None:
        """What a cast can be made of, in the form between the page's two halves."""
        made.begin(CAST_IMAGES)
        entry = page.block(self._language, "live/castimage.html")
        for image in self._images():
            made.put(f"image-{image.name}", entry(image=image), CAST_IMAGES)

    def _put_marks(self, made: BoardBuilder, state: StateView) -> None:
        """Whom a cast can be for, in the same form: each group and tag with its machines counted."""
        groups = Counter(word for client in state.clients for word in client.groups)
        tags = Counter(word for client in state.clients for word in client.tags)
        entry = page.block(self._language, "live/castmark.html")
        for into, counted in zip(CAST_MARKS, (groups, tags), strict=True):
            made.begin(into)
            field = into.removeprefix("cast-")
            if not counted:
                made.put(f"{into}-none", entry(field=field, word="", count=0), into)
            for word, count in sorted(counted.items()):
                made.put(f"{into}-{word}", entry(field=field, word=word, count=count), into)

    def _put_machines(self, made: BoardBuilder, state: StateView) -> None:
        self._put(made, "machines", BELOW, any=bool(state.clients))
        if state.clients:
            made.begin("machine-rows")
        casts = {
            part.client: cast.cast
            for cast in state.casts
            if not cast.state.ended
            for part in cast.parts
            if not part.state.ended
        }
        for client in by_name(state.clients):
            block = f"row-{client.client}"
            value = machine_row(client, casts.get(client.client, ""))
            made.put(block, self._rows.html(block, value), "machine-rows")
        self._rows.turn()


def machine_row(client: ClientView, cast: str) -> MachineRow:
    """What the row of ``client``, which takes part in ``cast`` ("": in none), shows."""
    report = client.report if client.online else None
    firmware = client.machine.firmware.upper() + (", Secure Boot" if client.machine.secure_boot else "")
    judged = client.trust.waiting or client.trust.rivals
    stuck = client.boot is not None and client.boot.outlook.value == "stuck"
    return MachineRow(
        client.client,
        *room.names(client.label),
        " · ".join([firmware, *(f"{disk.path} {human(disk.size)}" for disk in client.disks)]),
        client.state,
        client.report.message if client.report else "",
        "" if client.online or judged else client.why,
        client.hint if stuck and not client.online else "",
        show.share(report) if _moves(report) else None,
        room.megabytes(client.rate) or None,
        cast,
        client.boots.value,
        client.boot_image,
        client.trust,
    )


def spoken(state: StateView, now: int) -> tuple[HeadUp, list[CastView]]:
    """What a screen reader is told when it changes: the state, and casts that may lose machines."""
    return headup(state, now), [c for c in state.casts if c.state is CastState.RUNNING]


def _moves(report: Report | None) -> bool:
    return report is not None and report.state in MOVING and report.total > 0

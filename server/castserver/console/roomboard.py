"""The live page of one cast: the room of machines that takes part, its rates, and who needs help."""

from __future__ import annotations

import time
from collections.abc import Callable

from castserver.api.board import Board, BoardBuilder
from castserver.api.views import CastView
from castserver.casts.castrates import RateSample
from castserver.console import page, room, show
from castserver.console.chart import HEIGHT, LEFT, WIDTH, chart
from castserver.console.drawing import Kept
from castserver.console.languages import Language, Words
from castserver.console.room import Tile

# More tiles than this are made small.
MANY = 60
# Machines of which it is told what to do; the others are marked among all.
MOST_HELP = 30


class RoomDrawing:
    """Draws the page in one language, again and again; ``seen`` gives the cast and its rates."""

    def __init__(
        self, seen: Callable[[], tuple[CastView, tuple[RateSample, ...]]], language: Language
    ) -> None:
        self._seen, self._language = seen, language
        tile, help_ = page.block(language, "live/tile.html"), page.block(language, "live/trouble.html")
        self._tiles = Kept[Tile](lambda value: tile(tile=value))
        self._words = Words(language)
        self._help = Kept[tuple[Tile, str, bool]](
            lambda value: help_(tile=value[0], figures=value[1], begun=value[2])
        )
        self._chart = Kept[tuple[RateSample, ...]](self._drawn)

    def __call__(self) -> Board:
        """The page as it stands."""
        cast, samples = self._seen()
        now, tiles = int(time.time()), room.tiles(cast)
        counts, trouble = room.counts(tiles), room.troubled(tiles)
        made = BoardBuilder()
        self._put(made, "said", "live/roomsaid.html", cast=cast)
        self._put(
            made,
            "room-head",
            "live/roomhead.html",
            cast=cast,
            now=now,
            counts=counts,
            average=room.average(tiles),
            losses=room.losses(cast),
        )
        if len(samples) > 1:
            made.put("room-rates", self._chart.html("room-rates", samples))
        if trouble:
            self._put(made, "room-help", "live/roomhelp.html", count=len(trouble), most=MOST_HELP)
            figures, begun = show.receptions(self._words, cast), cast.started is not None
            for tile in trouble[:MOST_HELP]:
                value = tile, figures.get(tile.client, "") if tile.lag else "", begun
                made.put(f"help-{tile.client}", self._help.html(tile.client, value), "help-list")
        self._put(made, "room-machines", "live/roommachines.html", counts=counts, many=len(tiles) > MANY)
        made.begin("tiles")
        for tile in tiles:
            made.put(f"tile-{tile.client}", self._tiles.html(tile.client, tile), "tiles")
        for kept in (self._tiles, self._help, self._chart):
            kept.turn()
        return made.board()

    def _put(self, made: BoardBuilder, block: str, template: str, **values: object) -> None:
        made.put(block, page.block(self._language, template)(**values))

    def _drawn(self, samples: tuple[RateSample, ...]) -> str:
        picture = page.block(self._language, "live/rates.html")
        return picture(chart=chart(samples), width=WIDTH, height=HEIGHT, left=LEFT)

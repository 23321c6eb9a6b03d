"""What to do about a machine in trouble, in a sentence for whoever stands in the room. Pure."""

from __future__ import annotations

from castserver.casts.lagging import Lag
from castserver.console.languages import Words
from castserver.console.room import Phase, Tile


def advice(words: Words, tile: Tile, *, begun: bool) -> str:
    """What to do, or to know, about the machine of ``tile``; "" when nothing is wrong with it.

    ``begun``: its cast was started at some time, so data may have come.
    """
    match tile.phase:
        case Phase.FAILED if not begun:
            return words(
                "Its disk is as it was: nothing was sent. See to the reason, then cast it again."
            )
        case Phase.FAILED:
            return words("Its disk is incomplete and does not boot. Mend the cause, then cast it again.")
        case Phase.REFUSED:
            return words("Its disk is as it was. Choose an image that fits, or see to the reason first.")
        case Phase.GONE:
            return words(
                "Look at its power, its cable and its screen. It goes on once our client is back."
            )
    return _lag(words, tile.lag) if tile.lag is not None else ""


def _lag(words: Words, lag: Lag) -> str:
    match lag:
        case Lag.LATE:
            return words("It came after the start, and gets what it missed when the others have all.")
        case Lag.DISK:
            return words("Its disk is slower than the cast. Nobody waits; it is served again later.")
        case Lag.NETWORK:
            return words("Look at its cable and its switch port: speed, duplex and errors.")
        case Lag.HOST:
            return words(
                "Packets reach it and are dropped there: its processor or network driver is too slow."
            )
        case Lag.UNICAST:
            return words(
                "No multicast reaches it, so it is served alone. Look at IGMP snooping on its switch."
            )
        case Lag.SILENT:
            return words("It has not been heard lately. Look at its power, its cable and its screen.")
        case Lag.UNKNOWN:
            return words("It falls behind, and neither loss nor its disk tells why. Look at its screen.")

"""What the operator asks of network boots: all that were heard, one card's, one machine's."""

from castcore.boot import History, Story, unheard
from castcore.errors import NotFound

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.views import ErrorView, Refusals
from castserver.netboot.storyviews import (
    BootHistoryView,
    BootView,
    absence,
    boot_history_view,
    boot_view,
)
from castserver.parts import ServerParts

_MISSING: Refusals = {404: {"model": ErrorView, "description": "Nothing was heard of it"}}

routes = operator_routes("operator")


@routes.get("/boots", summary="Every network boot heard of late")
def list_boots(parts: Parts) -> list[BootView]:
    """The latest of each network card (at most 2000 of them), the one heard last first."""
    now = parts.boots.now()
    return [boot_view(history, now, _absence(parts, history)) for history in parts.boots.others()]


@routes.get("/boots/{mac}", summary="One network card's boots", responses=_MISSING)
def show_boot(parts: Parts, mac: Name) -> BootHistoryView:
    """With its last events, the oldest first. A card that never was heard is not found: the error says
    what that may mean.
    """
    found = parts.boots.of([mac.replace("-", ":")])
    if not found:
        story = unheard(mac)
        raise NotFound(story.sentence, hint=story.hint)
    return boot_history_view(found[0], parts.boots.now(), _absence(parts, found[0]))


@routes.get("/clients/{client}/boots", summary="One machine's network boots", responses=_MISSING)
def show_client_boots(parts: Parts, client: Name) -> list[BootHistoryView]:
    """One for each of its network cards that was heard, the one heard last first."""
    macs = parts.clients.find(client).traits.macs
    now = parts.boots.now()
    return [boot_history_view(found, now, _absence(parts, found)) for found in parts.boots.of(macs)]


def _absence(parts: ServerParts, history: History) -> Story | None:
    client = parts.clients.by_mac(history.mac)
    return absence(client, history, parts.clients, parts.boots.now())

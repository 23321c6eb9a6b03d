"""The local dialogue on a booted machine: consoles opened, talked on, closed again."""

from __future__ import annotations

from castcore.edge import dmi

from castclient.bringup import BringUp
from castclient.journal import Journal
from castclient.local.consoles import Keys, open_consoles
from castclient.local.desk import Desk
from castclient.local.facts import Here
from castclient.local.hands import Hands
from castclient.local.servers import Servers
from castclient.settings import Settings


def talk(settings: Settings, journal: Journal, terminal: str) -> BringUp | None:
    """Talk until somebody wants to take part in a cast; the network's keeper if it was begun.

    The machine restarts or goes off here when that is chosen.
    """
    ports = [] if settings.debug else [f"/dev/{name}" for name in settings.serial_consoles]
    servers = Servers(settings, journal.add)
    hands = Hands(settings, servers, journal.add)
    desk = Desk(Here(dmi.machine()), hands, open_consoles(terminal, ports))
    keys = Keys([terminal, *ports], desk.typed)
    try:
        desk.run()
    finally:
        keys.close()
    return servers.bring_up()

"""Network booting as the operator sees it: PXE deploy on or off, each interface's choice, what ends it.

What was chosen outlives a restart. While a cast runs nothing can be changed, by nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from castcore.boot import WantedMode
from castcore.errors import NetworkFailed, NotFound, Refused

from castserver.accounts.sessions import Sessions
from castserver.casts.casts import Casts
from castserver.casts.policy import CastState
from castserver.database.database import Database
from castserver.database.tables import SettingRow
from castserver.netboot.bootkeeper import BootKeeper
from castserver.netboot.bootstate import BootingState, Choice, Deploy, DeployEnd, Neighbour, Setting

# Two probes and what a busy machine adds.
SETTLE_SECONDS = 20.0
CLOSED_SECONDS = 60.0
DEPLOY = "pxe deploy"
BY_OPERATOR = "the operator turned it off"
INTERFACE = "booting on "


class Booting:
    """The keepers of a server's interfaces, and what holds for all of them.

    ``changed`` is called when it should be shown anew. ``headless``: nobody sits at this server, so at
    first a closed console ends nothing. Raises NoSpace, DiskFailed, as every change does.
    """

    def __init__(
        self,
        database: Database,
        casts: Casts,
        consoles: Sessions,
        changed: Callable[[], None],
        neighbours: Callable[[], Sequence[Neighbour]] = tuple,
        *,
        headless: bool = True,
    ) -> None:
        self._database, self._casts, self._consoles = database, casts, consoles
        self._changed, self._neighbours = changed, neighbours
        self._lock = threading.Lock()
        rows = {row.name: row.value for row in database.all(SettingRow)}
        self._chosen = {
            name.removeprefix(INTERFACE): _choice(value)
            for name, value in rows.items()
            if name.startswith(INTERFACE)
        }
        usual = Deploy() if headless else Deploy(ends=frozenset(DeployEnd))
        # What the operator chose, None for never; the command line's word for one run is not kept.
        self._chosen_ends = _ends(rows[DEPLOY]) if DEPLOY in rows else None
        stored = rows.get(DEPLOY, {"on": usual.on, "why": usual.why})
        ends = usual.ends if self._chosen_ends is None else self._chosen_ends
        self._deploy = Deploy(stored["on"], stored["why"], ends)
        self._keepers: dict[str, BootKeeper] = {}
        self._over = self._ended()

    def chosen(self, interface: str) -> Choice:
        """What was chosen for ``interface`` last, in this run or before."""
        return self._chosen.get(interface, Choice())

    def setting(self) -> Setting:
        """What holds on every interface now."""
        return Setting(self._deploy.on, casting=bool(self._running()))

    def state(self) -> BootingState:
        """Everything of this moment."""
        kept = tuple(
            replace(keeper.kept, choice=self.chosen(name)) for name, keeper in self._keepers.items()
        )
        return BootingState(self._deploy, kept, tuple(self._neighbours()))

    def start(self, keepers: Mapping[str, BootKeeper]) -> None:
        """Start the ``keepers`` (by interface) and wait until each serves what its network wants.

        Raises what one of them met: NotFound, BadImage, PortTaken, Refused, NetworkFailed.
        """
        self._keepers = dict(keepers)
        for keeper in keepers.values():
            keeper.start()
        for name, keeper in keepers.items():
            if not keeper.settled.wait(SETTLE_SECONDS):
                raise NetworkFailed(f"network booting on {name} did not start")
            if keeper.failure is not None:
                raise keeper.failure

    def stop(self) -> None:
        """Stop every keeper; nothing is served until the next start."""
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            keeper.stop()

    def set_deploy(self, *, on: bool | None = None, ends: frozenset[DeployEnd] | None = None) -> None:
        """Turn PXE deploy on or off, and say what turns it off. Raises Refused while a cast runs."""
        self._require_no_cast()
        with self._lock:
            now = self._deploy
            was = now.on if on is None else on
            why = now.why if on is None else BY_OPERATOR
            self._chosen_ends = self._chosen_ends if ends is None else ends
            self._save_deploy(Deploy(was, "" if was else why, now.ends if ends is None else ends))
        self._changed()

    def choose(self, interface: str, choice: Choice) -> None:
        """Choose for one interface. Raises NotFound, and Refused while a cast runs."""
        keeper = self._keepers.get(interface)
        if keeper is None:
            names = ", ".join(self._keepers) or "none, as the server was started without a boot tree"
            raise NotFound(f"no machines are booted on {interface[:40]!r}", hint=f"there are: {names}")
        self._require_no_cast()
        with self._lock:
            value = {"wanted": choice.wanted.value, "own_dhcp": choice.own_dhcp}
            self._database.save(SettingRow(name=INTERFACE + interface, value=value))
            self._chosen[interface] = choice
        keeper.choose(choice)
        self._changed()

    def assume(self, choices: Mapping[str, Choice], ends: frozenset[DeployEnd] | None = None) -> None:
        """What the command line says, for this run: ``choices`` by interface, what ends PXE deploy."""
        with self._lock:
            self._chosen |= choices
            if ends is not None:
                self._deploy = replace(self._deploy, ends=ends)

    def end_deploy(self, why: str) -> None:
        """Turn PXE deploy off of itself, unless it is off; who is loading files goes on loading them."""
        with self._lock:
            if not self._deploy.on:
                return
            self._save_deploy(Deploy(on=False, why=why, ends=self._deploy.ends))
        self._changed()

    def tick(self) -> None:
        """About once a second: does something turn PXE deploy off?"""
        deploy = self._deploy
        if not deploy.on or not self._keepers or self._running():
            return
        if DeployEnd.CAST_END in deploy.ends:
            over = self._ended()
            if over - self._over and all(cast.state.ended for cast in self._casts.all()):
                self.end_deploy(f"cast {min(over - self._over)} has ended")
                return
        away = self._consoles.away()
        if DeployEnd.CONSOLE_CLOSED in deploy.ends and away is not None and away >= CLOSED_SECONDS:
            self.end_deploy("the console was closed")

    def _running(self) -> list[str]:
        busy = (CastState.RUNNING, CastState.PAUSED)
        return [cast.id for cast in self._casts.all() if cast.state in busy]

    def _ended(self) -> set[str]:
        """The casts that ran and have ended."""
        return {c.id for c in self._casts.all() if c.state.ended and c.started is not None}

    def _require_no_cast(self) -> None:
        running = self._running()
        if running:
            raise Refused(
                f"network booting cannot be changed while cast {running[0]} runs",
                hint="wait for its end, or cancel it",
            )

    def _save_deploy(self, deploy: Deploy) -> None:
        ends = None if self._chosen_ends is None else sorted(self._chosen_ends)
        value = {"on": deploy.on, "why": deploy.why, "ends": ends}
        self._database.save(SettingRow(name=DEPLOY, value=value))
        if deploy.on:
            self._over = self._ended()
            self._consoles.forget_consoles()
        self._deploy = deploy


def _choice(value: Any) -> Choice:
    return Choice(WantedMode(value["wanted"]), bool(value["own_dhcp"]))


def _ends(value: Any) -> frozenset[DeployEnd] | None:
    return None if value["ends"] is None else frozenset(map(DeployEnd, value["ends"]))

"""Keeps the network-boot services of one interface as its network wants them: asks, decides, serves.

A thread of its own for each interface, so that another DHCP server is withdrawn from at once. The
decision itself is ``castcore.boot.mode_for``.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from castcore.boot import (
    PROBE_SECONDS,
    SERVER_PORT,
    FoundServer,
    Hearsay,
    InterfaceMode,
    MessageType,
    ModeDecision,
    Presence,
    PresenceWatch,
    Situation,
    WantedMode,
    mode_for,
    named,
)
from castcore.boot.presence import LINK_SECONDS
from castcore.edge.net import nics
from castcore.edge.net.bootsockets import port_holder
from castcore.edge.net.dhcpprobe import ASK_AGAIN, DhcpEar
from castcore.edge.net.interface import Interface
from castcore.edge.net.ipv4 import leased_address
from castcore.edge.net.nics import LinkState
from castcore.errors import FleetcastError

from castserver.netboot.bootstate import Choice, Kept, Setting

# How often the link and the settings are looked at, in seconds; frames are heard at once.
TURN_SECONDS = 0.5
# A port that was taken may be free again.
RETRY_SECONDS = 5.0
# Two servers that withdrew from each other shall not begin again together.
WITHDRAWN_SECONDS, JITTER_SECONDS = 60.0, 30.0

log = logging.getLogger("fleetcast")


class Ear(Protocol):
    """What `castcore.edge.net.dhcpprobe.DhcpEar` does."""

    def ask(self, servers: Sequence[FoundServer] = (), *, pxe: bool = True) -> None:
        """Ask everybody, and port 4011 of ``servers``."""

    def hear(self, seconds: float) -> list[Hearsay]:
        """What is heard within ``seconds``."""

    def asked_for(self, said: Hearsay) -> bool:
        """Whether it answers us."""

    def close(self) -> None:
        """Stop hearing."""


class Services(Protocol):
    """What `castserver.services.bootservices.BootServices` does."""

    def start(self) -> None:
        """Begin to serve."""

    def change(self, mode: InterfaceMode) -> None:
        """Go on in another mode."""

    def refresh(self) -> None:
        """Serve what has come in place of the boot tree, if something has."""

    def stop(self) -> None:
        """Stop serving."""


@dataclass(frozen=True)
class World:
    """What a keeper touches of the world; a test gives its own."""

    ear: Callable[[str], Ear] = DhcpEar
    look: Callable[[str, str], LinkState] = nics.link_state
    leased: Callable[[str], str] = leased_address
    address: Callable[[str], str] = nics.ipv4_address
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = field(default=lambda: random.uniform(0, JITTER_SECONDS))
    # Who on this host keeps our own DHCP from its port there; the interface whose address one is.
    holder: Callable[[str, str], str] = lambda name, own: port_holder(name, own, SERVER_PORT)
    own: Callable[[str], str] = nics.interface_with


class BootKeeper:
    """The keeper of ``interface``: ``services(mode)`` makes its services, ``tell`` hears of changes.

    ``setting`` is asked at every turn.
    """

    def __init__(
        self,
        interface: Interface,
        choice: Choice,
        services: Callable[[InterfaceMode], Services],
        setting: Callable[[], Setting],
        tell: Callable[[Kept], None],
        world: World | None = None,
    ) -> None:
        self._world = world or World()
        self._make, self._setting, self._tell = services, setting, tell
        self._kept = Kept(interface.name, interface.address, choice)
        self._choice = choice
        self._watch = PresenceWatch()
        self._ear: Ear | None = None
        self._services: Services | None = None
        self._link: LinkState | None = None
        self._probing: list[float] = []
        self._next_probe = self._retry_at = 0.0
        self._probed = False
        self._deaf = self._holder = ""
        self.settled = threading.Event()
        self.failure: FleetcastError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"boot keeper {interface.name}", daemon=True
        )

    @property
    def kept(self) -> Kept:
        """How it stands now."""
        return self._kept

    def start(self) -> None:
        """Begin to keep; `settled` is set when the first mode is served, or ``failure`` says why not."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, and the keeper."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._forget_network()
        self.settled.set()  # nobody need wait for it any more

    def choose(self, choice: Choice) -> None:
        """The operator chose anew: it holds from the next turn on."""
        self._choice = choice

    def turn(self) -> None:
        """One turn: look at the link, hear what is said, ask when it is time, serve what follows."""
        choice = self._choice
        if choice.wanted is WantedMode.OFF:
            self._forget_network()
            self._apply(mode_for(Situation(choice.wanted)), choice)
            self._stopping.wait(TURN_SECONDS)
            return
        trouble = self._look()
        self._listen()
        self._ask()
        self._refresh()
        decision = self._decide(choice)
        if trouble:
            decision = ModeDecision(InterfaceMode.SILENT, trouble)
        if self._probed or trouble:
            self._apply(decision, choice)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except FleetcastError as error:
                self._fail(error)
                self._stopping.wait(TURN_SECONDS)
            except Exception:
                log.exception("the boot keeper of %s stumbled; it goes on", self._kept.interface)
                self._stopping.wait(RETRY_SECONDS)

    def _look(self) -> str:
        """What is wrong with the interface, "" when it can be served."""
        name, address = self._kept.interface, self._kept.address
        state, before = self._world.look(name, address), self._link
        self._link = state
        if state is LinkState.GONE:
            self._forget_network()
            return f"the interface {name} is gone"
        if self._ear is None:
            self._open_ear()
        if state is not before and before is not None:
            now = self._world.clock()
            self._watch.doubt(now, LINK_SECONDS)
            self._probing, self._next_probe = [], now
        self._watch.leased(held=bool(self._world.leased(name)))
        if state is LinkState.ANOTHER:
            now_has = self._world.address(name) or "none"
            return f"{name} does not have the address {address} any more, but {now_has}"
        return ""

    def _open_ear(self) -> None:
        """Without the right to raw sockets only a proxy wanted for certain serves, and says so."""
        try:
            self._ear = self._world.ear(self._kept.interface)
        except FleetcastError as error:
            if self._choice.wanted is not WantedMode.PROXY:
                raise
            self._deaf = f"who else serves here cannot be seen: {error.what}"
            self._kept = replace(self._kept, note=self._deaf)
            return
        if self._deaf and self._kept.note == self._deaf:
            self._kept = replace(self._kept, note="")
        self._deaf = ""

    def _listen(self) -> None:
        ear = self._ear
        if ear is None:
            self._stopping.wait(TURN_SECONDS)
            return
        for said in ear.hear(TURN_SECONDS):
            offered = said.kind is MessageType.OFFER
            by_us = ear.asked_for(said)
            found = said.server
            if found.pxe and self._world.own(found.address):
                # Ourselves, by another leg in the same network: no rival. Its leases do count.
                found = replace(found, pxe=False)
            self._watch.heard(found, self._world.clock(), by_us=by_us, offered=offered)

    def _ask(self) -> None:
        """A probe is asked twice, and over after `PROBE_SECONDS`."""
        now, ear = self._world.clock(), self._ear
        if ear is None or self._link is LinkState.DOWN:
            # Nobody can be asked, so nothing is waited for.
            self._probed = True
            return
        if not self._probing:
            if now < self._next_probe:
                return
            self._watch.asked(now)
            self._probing = [now + ASK_AGAIN, now + PROBE_SECONDS]
            ear.ask()
        elif now >= self._probing[0]:
            if len(self._probing) > 1:
                ear.ask(self._watch.servers())
            else:
                self._watch.probed(now)
                self._probed = True
                self._look_for_holder()
                self._next_probe = now + self._watch.pause(now) - PROBE_SECONDS
            del self._probing[0]

    def _refresh(self) -> None:
        try:
            if self._services is not None:
                self._services.refresh()
        except FleetcastError as error:
            # Nobody is answered now: what was decided is served anew.
            self._kept = replace(self._kept, mode=InterfaceMode.SILENT, problem=error.what)

    def _look_for_holder(self) -> None:
        """A DHCP server on this host hears no probe of ours; when we are it, there is no other.

        Only who lets us find out what suits the network has use for the answer.
        """
        finding_out = self._choice.wanted is WantedMode.AUTO
        if finding_out and self._kept.mode is not InterfaceMode.DHCP:
            with contextlib.suppress(FleetcastError):
                self._holder = self._world.holder(self._kept.interface, self._kept.address)

    def _decide(self, choice: Choice) -> ModeDecision:
        setting = self._setting()
        situation = Situation(
            choice.wanted,
            self._watch.presence(self._world.clock()),
            setting.deploy,
            choice.own_dhcp,
            setting.casting,
            self._watch.servers(),
            self._kept.mode,
            self._holder,
        )
        return mode_for(situation)

    def _apply(self, decision: ModeDecision, choice: Choice) -> None:
        """Serve what was decided and tell it, if that is new."""
        now, mode = self._world.clock(), self._kept.mode
        presence, servers = self._watch.presence(now), self._watch.servers()
        note, problem = self._kept.note, self._kept.problem
        if mode is InterfaceMode.DHCP and presence is Presence.PRESENT:
            who = named([found for found in servers if found.dhcp]) or "another DHCP server"
            note = f"own DHCP was withdrawn: {who} answers here too"
            self._watch.doubt(now, WITHDRAWN_SECONDS + self._world.jitter())
        if decision.warning and decision.warning != self._kept.warning:
            # Before anything is served.
            self._kept = replace(
                self._kept, reason=decision.reason, warning=decision.warning, servers=servers
            )
            self._tell(self._kept)
        if decision.mode is not mode and (
            now >= self._retry_at or decision.mode is InterfaceMode.SILENT
        ):
            mode, problem = self._serve(decision.mode)
        kept = replace(
            self._kept,
            choice=choice,
            mode=mode,
            reason=decision.reason,
            warning=decision.warning,
            problem=problem if decision.mode is not mode else "",
            note=note,
            presence=presence,
            servers=servers,
        )
        self._show(kept)
        fixed = choice.wanted in (WantedMode.PROXY, WantedMode.OFF)
        if fixed or presence is not Presence.UNKNOWN or self._link is not LinkState.UP:
            self.settled.set()

    def _serve(self, mode: InterfaceMode) -> tuple[InterfaceMode, str]:
        """Serve in ``mode``; return what is served now, and the problem."""
        # Whatever goes wrong below, nobody is served then.
        self._kept = replace(self._kept, mode=InterfaceMode.SILENT)
        try:
            if self._services is not None:
                self._services.change(mode)
            elif mode is not InterfaceMode.SILENT:
                services = self._make(mode)
                services.start()
                self._services = services
        except FleetcastError as error:
            self._retry_at = self._world.clock() + RETRY_SECONDS
            self._note_failure(error)
            return InterfaceMode.SILENT, error.what
        return mode, ""

    def _fail(self, error: FleetcastError) -> None:
        """The network cannot even be asked."""
        self._note_failure(error)
        self._show(replace(self._kept, problem=error.what))

    def _show(self, kept: Kept) -> None:
        changed, self._kept = kept != self._kept, kept
        # A start that failed is told by who waits for it, and ends the program.
        if changed and self.failure is None:
            self._tell(kept)

    def _note_failure(self, error: FleetcastError) -> None:
        if not self.settled.is_set():
            self.failure = error
            self.settled.set()

    def _forget_network(self) -> None:
        """Stop serving and hearing: the interface is gone, or not ours to serve."""
        if self._services is not None:
            self._services.stop()
            self._services = None
        if self._ear is not None:
            self._ear.close()
            self._ear = None
        self._kept = replace(self._kept, mode=InterfaceMode.SILENT)
        self._watch, self._holder = PresenceWatch(), ""
        self._probing, self._next_probe, self._probed = [], 0.0, False

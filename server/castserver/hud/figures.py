"""What the head-up display shows, as plain text: values of the API in, cells of tables out. Pure."""

from __future__ import annotations

from castcore.units import human

from castserver.api.headup import headup, pxe_ready
from castserver.api.views import CastView, ClientView, PartView, ReceptionView, StateView
from castserver.casts.policy import CastState
from castserver.console.room import Phase, phase
from castserver.console.show import glance, joined, proven, share
from castserver.media.mediastate import MediaState
from castserver.wording import clock, megabytes, percent

CASTS = ("Cast", "Image", "State", "Joined", "Proven", "MB/s", "Left")
PARTS = ("Machine", "State", "Progress", "MB/s", "Class", "Loss", "Left", "Note")
MACHINES = ("Machine", "State", "Address", "Boots next", "Note")
BAR = 12

Cells = tuple[str, ...]


def head(state: StateView, now: int) -> tuple[str, ...]:
    """The lines at the top: how far the server is, its medium, PXE deploy, its machines."""
    seen = glance(state)
    machines = f"{seen.online} here: {seen.ready} ready, {seen.busy} busy"
    if seen.done or seen.failed:
        machines += f"; in casts: {seen.done} proven, {seen.failed} failed"
    rate = f"   casting {megabytes(seen.rate)} MB/s" if seen.casting else ""
    return (
        f"state     {headup(state, now)}",
        f"medium    {medium(state)}",
        f"PXE       {pxe(state)}",
        f"machines  {machines}{rate}",
    )


def medium(state: StateView) -> str:
    """The deploy medium in use."""
    used = next((m for m in state.media.media if m.used), None)
    if state.media.state is not MediaState.CONNECTED or used is None:
        return state.media.state.value
    return used.name or used.where


def pxe(state: StateView) -> str:
    """What machines that boot from the network get, by interface."""
    if not state.pxe.deploy:
        return "off"
    served = ", ".join(f"{own.interface} {own.mode}" for own in state.pxe.interfaces)
    return f"{'ready' if pxe_ready(state) else 'on, but nobody is served'}: {served or 'no interface'}"


def cast_row(cast: CastView) -> Cells:
    """One cast's cells, under `CASTS`."""
    sender = cast.sender if cast.state is CastState.RUNNING else None
    waiting = cast.start_clients if cast.state is CastState.GATHERING else None
    return (
        cast.cast,
        cast.image,
        cast.state.value,
        f"{joined(cast)} of {waiting}" if waiting else str(joined(cast)),
        f"{proven(cast)} of {len(cast.parts)}",
        megabytes(sender.rate) if sender else "",
        clock(sender.eta) if sender and sender.eta is not None else "",
    )


def part_rows(cast: CastView) -> list[tuple[str, Cells]]:
    """The cells of every machine of ``cast`` under `PARTS`, each with the machine's id.

    Those who need somebody come first, then those at work, then the rest.
    """
    senders = {c.client: c for c in cast.sender.clients} if cast.sender else {}
    rows = [(part, phase(part, cast.state)) for part in cast.parts]
    rows.sort(key=lambda row: (_ORDER.index(row[1]), row[0].label))
    return [(part.client, _part_row(part, now, senders.get(part.client))) for part, now in rows]


def machine_rows(state: StateView) -> list[tuple[str, Cells]]:
    """The cells of every machine under `MACHINES`, each with its id; who is here comes first."""
    found = sorted(state.clients, key=lambda c: (not c.online, c.label))
    return [(one.client, _machine_row(one)) for one in found]


def bar(percentage: int) -> str:
    """``"██████······  50%"``."""
    full = BAR * percentage // 100
    return f"{'█' * full}{'·' * (BAR - full)} {percentage:3}%"


def question(cast: CastView) -> str:
    """What has to be confirmed before ``cast`` starts."""
    machines = joined(cast)
    disks = "the disk of 1 machine" if machines == 1 else f"the disks of {machines} machines"
    return f"Start cast {cast.cast}? It erases {disks} and writes {cast.image}."


_ORDER = (
    Phase.FAILED,
    Phase.REFUSED,
    Phase.GONE,
    Phase.RECEIVING,
    Phase.FILLING,
    Phase.VERIFYING,
    Phase.PREPARING,
    Phase.JOINED,
    Phase.WAITING,
    Phase.PROVEN,
)
_MEASURED = (Phase.RECEIVING, Phase.FILLING, Phase.VERIFYING)


def _part_row(part: PartView, now: Phase, sender: ReceptionView | None) -> Cells:
    live = sender if sender is not None and now in (Phase.RECEIVING, Phase.FILLING) else None
    return (
        part.label,
        now.value,
        bar(share(part.report)) if now in _MEASURED else "",
        megabytes(live.rate) if live else "",
        live.kind.value if live else "",
        percent(live.net_loss + live.host_loss) if live else "",
        clock(live.eta) if live and live.eta is not None else "",
        part.message or (part.lag.value if part.lag and live else ""),
    )


def _machine_row(one: ClientView) -> Cells:
    address = next((a for nic in one.nics for a in nic.addresses), "")
    state = f"{one.state} {share(one.report)}%" if one.report and one.report.total else one.state
    note = one.why or (one.report.message if one.report else "") or _disks(one)
    return one.label, state, address, one.boots.value, note


def _disks(one: ClientView) -> str:
    return ", ".join(f"{disk.path} {human(disk.size)}" for disk in one.disks)

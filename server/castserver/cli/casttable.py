"""A running cast as lines for a terminal: one about the whole, then a table of its clients."""

from __future__ import annotations

from collections.abc import Iterable

from castcore.cast.states import SenderState
from castcore.cast.status import CastStatus, ClientStatus, LegStatus
from castcore.units import human

from castserver.cli.texttable import table
from castserver.wording import clock, megabytes, percent

HEADINGS = ("CLIENT", "CLASS", "HAVE", "MB/S", "NET LOSS", "HOST LOSS", "SHED", "LEFT")
# The line about the whole, the headings, and the one that counts who found no room.
FRAME_LINES = 3


def cast_lines(status: CastStatus, rows: int) -> list[str]:
    """``status`` in at most ``rows`` lines; whoever has most to do comes first."""
    legs = leg_lines(status)
    room = max(rows - FRAME_LINES - len(legs), 1)
    clients = sorted(status.clients, key=_urgency)
    lines = [cast_line(status), *legs]
    if clients and legs:
        shown = [(*client_row(c), c.interface) for c in clients[:room]]
        lines += table([(*HEADINGS, "VIA"), *shown])
    elif clients:
        lines += table([HEADINGS, *(client_row(c) for c in clients[:room])])
    if len(clients) > room:
        lines.append(f"  … and {len(clients) - room} more, who have at least as much")
    return lines


def cast_line(status: CastStatus) -> str:
    """The cast as a whole in one line."""
    words = [status.state.value]
    if status.state in (SenderState.PASS, SenderState.LAP):
        words.append(f"{megabytes(status.rate)} MB/s")
    if status.lap > 1:
        words.append(f"lap {status.lap}")
    words += [word for word, on in (("mac", status.mac), ("encrypted", status.encrypt)) if on]
    words.append(f"{human(status.sent)} sent, {human(status.repair)} of it repair")
    words.append(f"{status.done} of {len(status.clients)} done")
    if status.eta:
        words.append(f"{clock(status.eta)} left")
    return "  ".join(words)


def leg_lines(status: CastStatus) -> list[str]:
    """A line for each interface of a cast through several, or through one that is lost."""
    if len(status.legs) < 2 and not any(leg.lost for leg in status.legs):
        return []
    return [leg_line(leg) for leg in status.legs]


def leg_line(leg: LegStatus) -> str:
    """How a cast stands on one interface."""
    words = [f"  {leg.interface}:"]
    if leg.lost:
        words.append(f"LOST, {leg.lost}")
    elif leg.state is not None:
        words.append(f"{leg.state.value}  {megabytes(leg.rate)} MB/s  {human(leg.sent)} sent")
    return "  ".join([*words, f"{leg.clients} clients"])


def client_row(client: ClientStatus) -> tuple[str, ...]:
    """One client's cells, under `HEADINGS`."""
    return (
        client.client,
        client.kind.value,
        f"{client.have:.0%}",
        megabytes(client.rate),
        percent(client.net_loss),
        percent(client.host_loss),
        str(client.shed_blocks),
        "" if client.over else clock(client.eta),
    )


def listing(clients: Iterable[ClientStatus]) -> str:
    """The names of ``clients`` and why each is not done."""
    return ", ".join(f"{c.client} ({c.kind.value})" for c in clients)


def _urgency(client: ClientStatus) -> tuple[bool, float, str]:
    return client.over, client.have, client.client

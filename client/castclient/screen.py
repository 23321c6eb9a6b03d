"""The screen as a pure function: model in, lines out. ASCII only: a console font may hold no more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castcore.units import human

from castclient.model import CastNow, Model
from castclient.phases import Phase

WIDTH, HEIGHT = 80, 25
_MOST_NICS = 4
_LABEL = 10


class Tone(StrEnum):
    """How a line is meant; the writer gives it a colour."""

    PLAIN = "plain"
    TITLE = "title"
    CALM = "calm"
    BUSY = "busy"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the screen, exactly as wide as the screen."""

    text: str
    tone: Tone = Tone.PLAIN


_HEADLINES = {
    "starting": ("STARTING", Tone.CALM),
    "searching": ("LOOKING FOR A SERVER", Tone.CALM),
    "choosing": ("WHICH SERVER?", Tone.BUSY),
    "registering": ("CALLING THE SERVER", Tone.CALM),
    "ready": ("READY - WAITING FOR ORDERS", Tone.CALM),
    "planning": ("PREPARING", Tone.BUSY),
    "joining": ("JOINING THE CAST", Tone.BUSY),
    "receiving": ("RECEIVING", Tone.BUSY),
    "filling": ("FETCHING THE REST", Tone.BUSY),
    "verifying": ("CHECKING THE DISK", Tone.BUSY),
    "capturing": ("CAPTURING THE DISK", Tone.BUSY),
    "done": ("DONE", Tone.GOOD),
    "failed": ("FAILED", Tone.BAD),
    "rebooting": ("RESTARTING", Tone.GOOD),
}


def render(model: Model, width: int = WIDTH, height: int = HEIGHT) -> list[Line]:
    """``model`` as exactly ``height`` lines of ``width`` characters."""
    top = [
        _title(model, width),
        Line(""),
        *_machine(model),
        *_nics(model),
        *_server(model),
        Line(""),
        *_state(model, width),
    ]
    room = height - len(top) - 2
    lines = top + ([Line(""), Line("-" * width), *_messages(model, room)] if room > 0 else [])
    lines += [Line("")] * (height - len(lines))
    return [Line(_clean(line.text)[:width].ljust(width), line.tone) for line in lines[:height]]


def _title(model: Model, width: int) -> Line:
    name, version = " FLEETCAST", f"{model.version} "
    return Line(name + version.rjust(width - len(name)), Tone.TITLE)


def _machine(model: Model) -> list[Line]:
    machine = model.machine
    if machine is None:
        return []
    firmware = machine.firmware.upper() + (", Secure Boot" if machine.secure_boot else "")
    name = " ".join(p for p in (machine.vendor, machine.product) if p) or "unnamed machine"
    serial = f", serial {machine.serial}" if machine.serial else ""
    return [_labelled("machine", f"{name}{serial} ({firmware}, {human(machine.memory)})")]


def _nics(model: Model) -> list[Line]:
    lines = []
    for nic in model.nics[:_MOST_NICS]:
        link = (f"{nic.speed} Mb/s" if nic.speed else "link up") if nic.link else "no link"
        address = " ".join(nic.addresses) or ("waiting for an address" if nic.link else "")
        lines.append(_labelled(nic.name, f"{nic.mac}  {link:<10}  {address}"))
    if len(model.nics) > _MOST_NICS:
        lines.append(_labelled("", f"and {len(model.nics) - _MOST_NICS} more"))
    return lines or [_labelled("network", "no wired network interface found")]


def _server(model: Model) -> list[Line]:
    if not model.server_url:
        return [_labelled("server", "-")]
    name = f"{model.server_name}  " if model.server_name else ""
    return [
        _labelled("server", name + model.server_url),
        _labelled("its code", model.server_words),
    ]


def _state(model: Model, width: int) -> list[Line]:
    headline, tone = _HEADLINES[model.state]
    lines = [Line(f"  >>>  {headline}  <<<".center(width), tone), Line("")]
    if model.link_lost:
        lines.append(Line("  The server is gone; waiting until it answers again.", Tone.BAD))
    if model.problem:
        lines += [Line(f"  {part}", Tone.BAD) for part in _wrap(model.problem, width - 4)[:3]]
    if model.phase is Phase.CHOOSING:
        lines += [Line(f"  {n}  {choice}") for n, choice in enumerate(model.choices, 1)]
        lines.append(Line("  Press the number of the server to follow."))
    if model.cast is not None:
        lines += _cast(model.cast, width)
    return lines


def _cast(cast: CastNow, width: int) -> list[Line]:
    lines = [Line(f"  {cast.image} -> {cast.target}")] if cast.target else []
    if cast.total:
        bar = width - 12
        filled = bar * cast.done // cast.total if cast.done < cast.total else bar
        lines.append(Line(f"  [{'#' * filled}{'.' * (bar - filled)}] {cast.percent:3d}%", Tone.BUSY))
        rate = f", {human(cast.rate)}/s" if cast.rate else ""
        left = f", {_clock(cast.eta)} left" if cast.eta is not None and cast.done < cast.total else ""
        lines.append(Line(f"  {human(cast.done)} of {human(cast.total)}{rate}{left}"))
    if cast.kept:
        lines.append(Line(f"  {human(cast.kept)} was on the disk before"))
    if cast.multicast or cast.unicast or cast.peers:
        peers = f" from peers {human(cast.peers)}," if cast.peers else ""
        lines.append(
            Line(
                f"  by multicast {human(cast.multicast)}, by unicast {human(cast.unicast)},{peers}"
                f" repaired {human(cast.repaired)}"
            )
        )
    if cast.root:
        lines.append(Line(f"  verified {cast.root}", Tone.GOOD))
    return lines + ([Line(f"  {cast.detail}")] if cast.detail else [])


def _messages(model: Model, room: int) -> list[Line]:
    return [Line(f" {message}") for message in model.messages[-room:]]


def _labelled(label: str, text: str) -> Line:
    return Line(f"  {label:<{_LABEL}}{text}")


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _clean(text: str) -> str:
    # What a server or a disk calls itself must not steer the terminal.
    return "".join(c if " " <= c <= "~" else "?" for c in text)

"""The screen as a pure function: model in, lines out. ASCII only: a console font may hold no more.

From top to bottom: who this machine is; the state in large letters, the whole screen in its colour; how
the cast goes; server, network cards, disks; the last events; what was answered, or the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castcore.control import Standing
from castcore.disk import DiskFacts
from castcore.units import human

from castclient.bigletters import big
from castclient.model import CastNow, DiskNow, Model
from castclient.phases import Phase

WIDTH, HEIGHT = 80, 25
_LABEL = 10
_MARGIN = 2
_MOST_PROBLEM_LINES = 3
_MOST_FOOT_LINES = 2
_BEFORE_ANSWER = (Phase.STARTING, Phase.SEARCHING, Phase.CHOOSING, Phase.REGISTERING)


class Tone(StrEnum):
    """How a line is meant; the writer gives it a colour."""

    TITLE = "title"
    CALM = "calm"
    BUSY = "busy"
    GOOD = "good"
    BAD = "bad"
    NOTICE = "notice"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Line:
    """One line, exactly as wide as the screen; in a ``solid`` one ``#`` is a full block."""

    text: str
    tone: Tone
    solid: bool = False


# Of each state: the word in large letters, the colour, and a sentence.
_STATES = {
    "starting": ("STARTING", Tone.CALM, "Bringing up the network"),
    "searching": ("SEARCHING", Tone.CALM, "Looking for a server on every wired network"),
    "choosing": ("CHOOSE", Tone.CALM, "Several servers answer: press the number of the one to follow"),
    "registering": ("CALLING", Tone.CALM, "Telling the server about this machine"),
    "waiting": ("WAITING", Tone.CALM, "The server does not let this machine in yet"),
    "denied": ("DENIED", Tone.BAD, "The server does not let this machine in"),
    "refused": ("REFUSED", Tone.BAD, "The server does not take this client"),
    "ready": ("READY", Tone.CALM, "Waiting for orders from the server"),
    "planning": ("CASTING", Tone.BUSY, "Preparing"),
    "joining": ("CASTING", Tone.BUSY, "Joining the cast"),
    "receiving": ("CASTING", Tone.BUSY, "Receiving"),
    "filling": ("CASTING", Tone.BUSY, "Fetching what was missed"),
    "capturing": ("READING", Tone.BUSY, "Reading the disks into an image"),
    "verifying": ("CHECKING", Tone.BUSY, "Reading the disk back"),
    "done": ("DONE", Tone.GOOD, "The disk was written, read back and proven"),
    "failed": ("FAILED", Tone.BAD, ""),
    "rebooting": ("RESTARTING", Tone.GOOD, "Restarting now"),
}


def render(model: Model, width: int = WIDTH, height: int = HEIGHT) -> list[Line]:
    """``model`` as exactly ``height`` lines of ``width`` characters."""
    _, tone, _ = _STATES[model.state]
    solid = _headline(model, width, height)
    body = [*_news(model, width), "", *_facts(model, width, most=3 if height < 32 else 8), ""]
    foot = _foot(model, tone, width)
    room = height - 2 - len(solid) - len(body) - len(foot)
    body += [f" {message}" for message in model.messages[-room:]] if room > 0 else []
    lines = [
        Line(_title(model, width), Tone.TITLE),
        *(Line(text, tone, solid=True) for text in solid),
        *(Line(text, tone, solid=text.startswith(_BAR)) for text in body),
    ]
    lines += [Line("", tone)] * (height - len(lines))
    lines = [*lines[: height - len(foot)], *foot]
    return [Line(_clean(n.text)[:width].ljust(width), n.tone, n.solid) for n in lines]


def _title(model: Model, width: int) -> str:
    name = f" FLEETCAST {model.version} "
    return name + _machine(model)[: width - len(name) - 1].rjust(width - len(name) - 1)


def _machine(model: Model) -> str:
    machine = model.machine
    if machine is None:
        return ""
    firmware = machine.firmware.upper() + (", Secure Boot" if machine.secure_boot else "")
    name = " ".join(p for p in (machine.vendor, machine.product) if p) or "unnamed machine"
    serial = f", serial {machine.serial}" if machine.serial else ""
    return f"{name}{serial} ({firmware}, {human(machine.memory)})"


def _headline(model: Model, width: int, height: int) -> list[str]:
    word, tone, _ = _STATES[model.state]
    cast = model.cast
    if model.off:
        word = "SHUT DOWN"
    elif model.phase is Phase.CASTING and cast is not None and cast.total and tone is Tone.BUSY:
        word = f"{word} {cast.percent}%"
    rows = big(word, width - 2 * _MARGIN, height // 5)
    return ["", *(row.center(width).rstrip() for row in rows), ""]


def _news(model: Model, width: int) -> list[str]:
    """What goes on now: a sentence, a problem, choices, how far the cast is."""
    lines = [f"  {_sentence(model)}"] if _sentence(model) else []
    lines += _kept_out(model, width)
    if model.link_lost:
        lines.append("  The server is gone; waiting until it answers again.")
    if model.problem and model.phase in (Phase.FAILED, Phase.CASTING):
        before = "The try before failed: " if model.phase is Phase.CASTING else ""
        wrapped = _wrap(before + model.problem, width - 2 * _MARGIN)
        lines += [f"  {part}" for part in wrapped[:_MOST_PROBLEM_LINES]]
    if model.phase is Phase.FAILED and model.retry_at:
        lines.append(f"  Tries again by itself in {_clock(model.retry_in)} (try {model.attempt + 1}).")
    elif model.phase is Phase.FAILED:
        lines.append("  It stays like this until the server gives another order.")
    if model.phase is Phase.CHOOSING:
        lines += [f"  {n}  {choice}" for n, choice in enumerate(model.choices, 1)]
    return lines + (_cast(model.cast, width) if model.cast is not None else [])


def _kept_out(model: Model, width: int) -> list[str]:
    """Why the server does not let this machine in, and the code by which its operator knows it."""
    if not model.kept_out or model.phase in _BEFORE_ANSWER:
        return []
    lines = [f"  {part}" for part in _wrap(model.kept_out, width - 2 * _MARGIN)[:_MOST_PROBLEM_LINES]]
    if model.standing is Standing.REFUSED:
        return lines
    return [*lines, "", f"  The code of this machine:  {model.machine_words}"]


def _sentence(model: Model) -> str:
    _, _, sentence = _STATES[model.state]
    if model.off:
        return "Shutting down now"
    cast = model.cast
    if model.phase is Phase.CASTING and cast is not None and cast.image:
        return f"{sentence}: {cast.image}"
    return sentence


_BAR = "  ["


def _cast(cast: CastNow, width: int) -> list[str]:
    lines = []
    if cast.total:
        bar = width - 2 * _MARGIN - 2
        filled = bar * cast.done // cast.total if cast.done < cast.total else bar
        lines.append(f"{_BAR}{'#' * filled}{'.' * (bar - filled)}]")
        rate = f", {human(cast.rate)}/s" if cast.rate else ""
        left = f", {_clock(cast.eta)} left" if cast.eta is not None and cast.done < cast.total else ""
        kept = f", {human(cast.kept)} of it was there before" if cast.kept else ""
        lines.append(f"  {human(cast.done)} of {human(cast.total)}{rate}{left}{kept}")
    if cast.multicast or cast.unicast or cast.peers:
        peers = f" from peers {human(cast.peers)}," if cast.peers else ""
        lines.append(
            f"  by multicast {human(cast.multicast)}, by unicast {human(cast.unicast)},{peers}"
            f" repaired {human(cast.repaired)}"
        )
    if cast.root:
        lines.append(f"  proven {cast.root}")
    return lines + ([f"  {cast.detail}"] if cast.detail else [])


def _facts(model: Model, width: int, most: int) -> list[str]:
    server = "-"
    if model.server_url:
        server = "  ".join(filter(None, (model.server_name, model.server_url, model.server_words)))
    lines = [_labelled("server", server)]
    linked = sorted(model.nics, key=lambda nic: not nic.link)
    cards = []
    for nic in linked:
        link = (f"{nic.speed} Mb/s" if nic.speed else "link up") if nic.link else "no link"
        address = " ".join(nic.addresses) or ("waiting for an address" if nic.link else "")
        cards.append(_labelled(nic.name, f"{nic.mac}  {link:<10}  {address}"))
    lines += _capped(cards, most) or [_labelled("network", "no wired network card found")]
    going = {disk.path: disk for disk in model.cast.disks} if model.cast is not None else {}
    disks = sorted(model.disks, key=lambda disk: disk.path not in going)
    return lines + _capped([_disk(disk, going.get(disk.path), width) for disk in disks], most)


def _capped(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], _labelled("", f"and {len(lines) - most + 1} more")]


def _disk(disk: DiskFacts, going: DiskNow | None, width: int) -> str:
    """One disk: who it is, and at the right how far it is."""
    name = disk.path.removeprefix("/dev/")
    serial = f"serial {disk.serial}" if disk.serial else disk.stable_id
    left = _labelled(name, f"{human(disk.size):<9} {serial}  {disk.model}")
    right = ""
    if going is not None:
        rate = f"  {human(going.rate)}/s" if going.rate else ""
        eta = f"  {_clock(going.eta)}" if going.eta is not None and going.done < going.total else ""
        right = f"{going.percent}%{rate}{eta}"
    elif disk.held_by:
        right = disk.held_by
    room = width - _MARGIN - len(right) - bool(right)
    return left[:room].ljust(room) + (f" {right}" if right else "")


def _foot(model: Model, tone: Tone, width: int) -> list[Line]:
    said = model.question or model.notice
    if said:
        kind = Tone.QUESTION if model.question else Tone.NOTICE
        return [Line(f" {part}", kind) for part in _wrap(said, width - 2)[:_MOST_FOOT_LINES]]
    return [Line(f" {model.keys}", Tone.TITLE if model.keys else tone)]


def _labelled(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


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

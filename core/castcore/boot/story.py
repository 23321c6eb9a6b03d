"""Why a machine does not come: its network boot in one sentence, from what was heard of it.

Every sentence goes on with "it", the machine. What can only be guessed is said with its likely causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from castcore.boot import bootnames
from castcore.boot.answers import PXE_PORT
from castcore.boot.bootclient import Kind
from castcore.boot.history import History, Step
from castcore.boot.policy import BootStage, Transfer

# Silence that still is usual, in seconds: between the packets of a boot; while a boot program or GRUB
# starts; while our client's system starts and its link comes up (spanning tree alone takes 60).
PACKET_SECONDS = 30.0
PROGRAM_SECONDS = 60.0
CLIENT_SECONDS = 180.0
# A transfer that was broken off is often begun anew at once: OVMF first asks for the size alone.
AGAIN_SECONDS = 10.0
_ANSWERS = frozenset(
    {
        BootStage.OFFERED,
        BootStage.SKIPPED,
        BootStage.REFUSED,
        BootStage.IGNORED,
        BootStage.FAILED,
    }
)
_TURNED_AWAY = _ANSWERS - {BootStage.OFFERED}
_KINDS = frozenset(kind.value for kind in Kind)
_BY_HTTP = frozenset(kind.value for kind in Kind if kind.is_http or kind.is_ipxe)
_INITRD = bootnames.INITRD.rpartition("/")[2]
_KERNEL = bootnames.KERNEL.rpartition("/")[2]


class Outlook(StrEnum):
    """What may be expected of a machine. STUCK: somebody has to do something."""

    BOOTING = "booting"
    ARRIVED = "arrived"
    DISK = "disk"
    STUCK = "stuck"
    AWAY = "away"


@dataclass(frozen=True)
class Story:
    """How it stands, in a sentence, and what to do or to look at ("": nothing)."""

    outlook: Outlook
    sentence: str
    hint: str = ""


def tell(history: History, now: float) -> Story:
    """How the latest network boot of a machine stands at ``now`` (Unix seconds).

    ``history`` holds one step at least.
    """
    steps = history.current
    if history.reached is BootStage.CLIENT:
        return Story(Outlook.ARRIVED, f"our client runs on it{_took(history)}")
    answered = next((s for s in reversed(steps) if s.event.stage in _ANSWERS), None)
    turned = _turned_away(answered, history, now)
    sent = [s for s in steps if s.event.transfer is not None]
    # An image that cannot be booted is refused to a machine that then loads our client.
    goes_on = bool(sent and answered and steps.index(sent[-1]) > steps.index(answered))
    if turned is not None and not (turned.outlook is Outlook.STUCK and goes_on):
        return turned
    asked = _last_discover(steps)
    if sent and (asked is None or sent[-1].when >= asked.when):
        return _loading(sent, now)
    return _asking(history, asked, now)


def away(last_heard: float, history: History | None, now: float) -> Story:
    """Of a machine whose client was ``last_heard`` then and does not run any more."""
    ended = history is None or history.reached is BootStage.CLIENT
    if history is not None and not ended and history.latest.when > last_heard:
        return tell(history, now)
    ago = span(now - last_heard)
    return Story(
        Outlook.AWAY,
        f"our client on it was last heard {ago} ago, and it asked for no network boot since",
        "it is off, boots its disk first, or has no link: look at its boot order, cable and switch port",
    )


def unheard(mac: str) -> Story:
    """Of a machine from which nothing ever came."""
    return Story(
        Outlook.AWAY,
        f"no network boot of {mac} was heard since this server started",
        "is it on, does it boot from this network card first, and is its switch port in the same VLAN"
        " and forwarding at once (portfast)? A DHCP relay must know this server",
    )


def span(seconds: float) -> str:
    """``"40 s"``, ``"3 min"``, ``"2 h"``, ``"5 d"``; never negative."""
    left = max(int(seconds), 0)
    for size, word in ((86400, "d"), (3600, "h"), (120, "min")):
        if left >= size:
            return f"{left // (60 if word == 'min' else size)} {word}"
    return f"{left} s"


def _took(history: History) -> str:
    """How long the boot took, as far as that is remembered."""
    arrived = [s.when for s in history.current if s.event.stage is BootStage.CLIENT]
    return f", {span(arrived[0] - history.began)} after its first packet" if arrived else ""


def _last_discover(steps: tuple[Step, ...]) -> Step | None:
    return next((s for s in reversed(steps) if _is_discover(s)), None)


def _is_discover(step: Step) -> bool:
    """Whether it is the machine's own; of an address found in use there is a DISCOVER told as well."""
    return step.event.stage is BootStage.DISCOVER and step.event.detail in _KINDS


def _turned_away(answered: Step | None, history: History, now: float) -> Story | None:
    """Of a machine that we did not mean to boot, or could not; None when it was offered something."""
    if answered is None:
        return None
    detail, ago = answered.event.detail, span(now - answered.when)
    match answered.event.stage:
        case BootStage.SKIPPED:
            return Story(
                Outlook.DISK,
                f"it was {detail.partition(': ')[2] or 'sent on'} {ago} ago, as decided for it",
                "`fleetcast machines boot-client ID` and PXE deploy switched on bring our client again",
            )
        case BootStage.REFUSED:
            return Story(
                Outlook.STUCK,
                f"it cannot be booted: {detail}",
                "mend what that says, or change its firmware's boot mode",
            )
        case BootStage.IGNORED:
            return Story(Outlook.DISK, f"it asked {ago} ago and got no answer: {detail}")
        case BootStage.FAILED if history.latest.event.stage in (*_ANSWERS, BootStage.DISCOVER):
            return Story(
                Outlook.STUCK,
                f"it does not get on: {detail}",
                "mend it at this server (its range of addresses, its boot tree), restart the machine",
            )
    return None


def _asking(history: History, asked: Step | None, now: float) -> Story:
    """Of a machine that has fetched nothing, or nothing since it asked anew."""
    steps = history.current
    since = steps.index(asked) if asked is not None else 0
    heard = [s for s in steps[since:] if s.event.stage not in _TURNED_AWAY] or [history.latest]
    last = max(heard, key=lambda s: (list(BootStage).index(s.event.stage), s.when))
    by_http = asked is not None and asked.event.detail in _BY_HTTP
    fact, missing, hint = _unfinished(last, "HTTP" if by_http else "TFTP")
    silent = now - history.latest.when
    if silent <= PACKET_SECONDS:
        return Story(Outlook.BOOTING, f"{fact} {span(silent)} ago")
    return Story(Outlook.STUCK, f"{fact}, but {missing} in {span(silent)}", hint)


def _unfinished(last: Step, way: str) -> tuple[str, str, str]:
    """What was heard ``last``, what did not follow, and what to do; files go by this ``way``."""
    port = "UDP port 69" if way == "TFTP" else "the boot files' TCP port (8080)"
    rival = (
        f"it took another server's boot file, or {port} is blocked:"
        " `fleetcast doctor network` looks for both"
    )
    match last.event.stage:
        case BootStage.DISCOVER:
            return "its DISCOVER was heard", "got no answer from us", "see this server's log"
        case BootStage.OFFERED:
            return (
                "it was offered our boot file",
                "asked for no address",
                "no DHCP server gave it one, or our answers do not reach it: `fleetcast doctor network`",
            )
        case BootStage.REQUESTED:
            missing = f"neither asked our port {PXE_PORT} nor fetched a file by {way}"
            return f"it {last.event.detail}", missing, rival
        case BootStage.LEASED:
            return f"it has our {last.event.detail}", f"fetched no file by {way}", rival
        case BootStage.ASKED:
            return f"it was told its boot file at port {PXE_PORT}", f"fetched none by {way}", rival
    return f"it was heard last with: {last.event.detail}", "asked for nothing more", "see its screen"


def _loading(sent: list[Step], now: float) -> Story:
    """Of a machine that fetches, or fetched, boot files."""
    last = sent[-1]
    transfer = last.event.transfer
    assert transfer is not None
    silent, way = now - last.when, "TFTP" if last.event.stage is BootStage.TFTP else "HTTP"
    name = _base(transfer)
    if not transfer.over:
        return Story(Outlook.BOOTING, f"it loads {name} by {way} since {span(silent)}")
    # Read in parts, for as long as the machine runs from it.
    ordered = bootnames.is_ordered_image(transfer.file)
    if not transfer.whole and not ordered:
        if silent <= AGAIN_SECONDS:
            return Story(Outlook.BOOTING, f"it loads {name} by {way}")
        return Story(
            Outlook.STUCK,
            f"its {way} of {name} stopped at {transfer.percent}% {span(silent)} ago"
            f" ({last.event.detail.partition(': ')[2]})",
            "look at its cable, its switch port (speed, duplex, errors) and its screen",
        )
    if ordered:
        return Story(Outlook.DISK, f"it boots the image ordered for it since {span(silent)}")
    files = {_base(s.event.transfer) for s in sent if s.event.transfer and s.event.transfer.whole}
    return _loaded(files, name, silent)


def _loaded(files: set[str], name: str, silent: float) -> Story:
    """Of a machine that has all of ``name``, and of the other ``files``, and is ``silent`` since."""
    if {_KERNEL, _INITRD} <= files:
        if silent <= CLIENT_SECONDS:
            return Story(Outlook.BOOTING, f"it starts our client since {span(silent)}")
        return Story(
            Outlook.STUCK,
            f"it got kernel and boot image {span(silent)} ago, but our client on it never registered",
            "look at its screen: a refused kernel, no driver for its network card, too little memory, or"
            " the server's HTTPS port is blocked",
        )
    if silent <= PROGRAM_SECONDS:
        return Story(Outlook.BOOTING, f"it got {name} {span(silent)} ago and starts it")
    missing, hint = _next(files, name)
    return Story(Outlook.STUCK, f"it got {name} {span(silent)} ago, but {missing}", hint)


def _next(files: set[str], name: str) -> tuple[str, str]:
    """What should have followed the file ``name`` and did not; and what to look at."""
    http = "is the boot files' TCP port (8080) open in every firewall? Its screen says more"
    screen = "its screen says why; Secure Boot may have refused it"
    match name:
        case bootnames.UNDIONLY:
            return (
                "the iPXE in it never asked for an address",
                "that iPXE cannot drive its network card: try its UEFI",
            )
        case bootnames.SHIM:
            return f"never fetched {bootnames.GRUB}", screen
        case bootnames.SHIM_ARM64:
            return f"never fetched {bootnames.GRUB_ARM64}", screen
        case bootnames.GRUB | bootnames.GRUB_ARM64:
            return "GRUB never fetched its configuration", screen
        case _ if _KERNEL in files:
            return f"never fetched {_INITRD}", http
        case script if script.endswith((".cfg", ".ipxe")):
            return "never fetched the kernel by HTTP", http
    return "asked for nothing more", "its screen says more"


def _base(transfer: Transfer) -> str:
    return transfer.file.rpartition("/")[2]

"""What the commands' options take: numbers within their bounds, told by argparse as wrong usage."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from castcore.boot import WantedMode
from castcore.errors import Refused
from castcore.trust import KEY_SIZE
from castcore.units import parse_size

from castserver.licences.licenceterms import LicenceTerms, WithoutLicence
from castserver.netboot.bootstate import DeployEnd

MEGABYTE = 1_000_000
NEVER = "never"
MOST_MEGABYTES = 100_000
MOST_BYTES = 1 << 62


def port(text: str) -> int:
    """A UDP or TCP port."""
    return _within(text, 1, 65535)


def any_port(text: str) -> int:
    """A port, or 0: any that is free."""
    return _within(text, 0, 65535)


def data_port(text: str) -> int:
    """A port that has another one after it: clients are heard there."""
    return _within(text, 1, 65534)


def day(text: str) -> date:
    """A day like ``2026-11-27``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2026-11-27") from None


def count(text: str) -> int:
    """How many machines."""
    return _within(text, 1, 10_000)


def hops(text: str) -> int:
    """The time to live of a datagram (RFC 791, 3.1)."""
    return _within(text, 1, 255)


def seconds(text: str) -> int:
    """A time to wait."""
    return _within(text, 1, 3600)


def waiting(text: str) -> int:
    """Seconds that a cast may gather, a week at most."""
    return _within(text, 0, 7 * 86_400)


def rate(text: str) -> int:
    """Bytes a second, given in MB/s."""
    value = float(text)
    if not 0 < value < MOST_MEGABYTES:
        raise argparse.ArgumentTypeError(f"{text} MB/s is no rate")
    return int(value * MEGABYTE)


def size(text: str) -> int:
    """Bytes, as in ``"120GB"``; more than none."""
    try:
        return _within(str(parse_size(text)), 1, MOST_BYTES)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def partition(text: str) -> tuple[int, int]:
    """A partition of an image: ``N`` of its first disk, or ``D:N`` of disk D."""
    disk, colon, number = text.rpartition(":")
    return _within(disk, 0, 9999) if colon else 0, _within(number, 1, 9999)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Declare how a cast uses the network."""
    add = parser.add_argument
    add("--polite", action="store_true", help="take half of the link and make way for other traffic")
    add("--jumbo", action="store_true", help="packets of 8,968 bytes: every switch must carry them")
    add("--ttl", type=hops, default=1, help="routers that the multicast may cross, plus 1")
    add("--querier", action="store_true", help="ask who listens (IGMP, MLD) while nobody else does")


def add_booting(parser: argparse.ArgumentParser) -> None:
    """Declare what is answered to machines that boot from the network."""
    parser.add_argument(
        "--boot-mode",
        action="append",
        default=[],
        type=boot_mode,
        metavar="[IF=]MODE",
        help="what suits the network (auto, the default), beside the site's DHCP server (proxy), as the"
        " only one (dhcp), nothing (off); for one interface: eth1=proxy",
    )
    parser.add_argument(
        "--own-dhcp",
        action="append",
        default=[],
        nargs="?",
        const="",
        metavar="IF",
        help="where no DHCP server answers, auto may be one",
    )
    add_replacing(parser)
    parser.add_argument(
        "--deploy-end",
        action="append",
        default=[],
        choices=[*DeployEnd, NEVER],
        help="what turns PXE deploy off by itself (repeatable; default: the cast's end, on a terminal"
        " also the console's)",
    )


def add_replacing(parser: argparse.ArgumentParser) -> None:
    """Declare what becomes of network cards' own iPXE."""
    parser.add_argument(
        "--replace-ipxe",
        action="store_true",
        help="BIOS machines whose network card has an iPXE without HTTPS load the boot tree's instead",
    )


def boot_modes(args: argparse.Namespace, interfaces: Sequence[str]) -> dict[str, WantedMode]:
    """``--boot-mode`` by interface; of two for one the one that names it. Raises Refused."""
    _require_known((name for name, _ in args.boot_mode), "--boot-mode", interfaces)
    common = {own: mode for name, mode in args.boot_mode if not name for own in interfaces}
    return common | {name: mode for name, mode in args.boot_mode if name}


def own_dhcp(args: argparse.Namespace, interfaces: Sequence[str]) -> frozenset[str]:
    """The interfaces that ``--own-dhcp`` means. Raises Refused."""
    _require_known(args.own_dhcp, "--own-dhcp", interfaces)
    return frozenset(interfaces if "" in args.own_dhcp else args.own_dhcp)


def _require_known(names: Iterable[str], option: str, interfaces: Sequence[str]) -> None:
    unknown = next((name for name in names if name and name not in interfaces), "")
    if unknown:
        known = ", ".join(interfaces)
        raise Refused(f"{option} names {unknown}, which is not served", hint=f"these are: {known}")


def boot_mode(text: str) -> tuple[str, WantedMode]:
    """What to serve: ``MODE`` on every interface (""), or ``IF=MODE`` on one."""
    interface, _, mode = text.rpartition("=")
    try:
        return interface, WantedMode(mode)
    except ValueError:
        modes = ", ".join(WantedMode)
        raise argparse.ArgumentTypeError(f"{mode!r} is none of {modes}") from None


def public_key(text: str, option: str, source: str) -> bytes:
    """The Ed25519 key that ``option`` gives in hex. Raises Refused, naming ``source``: what shows it."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise Refused(f"{option} takes {2 * KEY_SIZE} hex digits", hint=f"{source} shows its key")
    return key


def add_licences(parser: argparse.ArgumentParser) -> None:
    """Declare whose licences count, and what is cast without one."""
    parser.add_argument(
        "--licence-issuer",
        action="append",
        default=[],
        metavar="HEX",
        help="take licences signed by this key (repeatable; this server's own count anyway)",
    )
    parser.add_argument(
        "--without-licence",
        type=WithoutLicence,
        choices=list(WithoutLicence),
        default=WithoutLicence.FREE,
        help="what becomes of casts from where there is no licence file (default: %(default)s)",
    )


def licence_terms(args: argparse.Namespace) -> LicenceTerms:
    """What those options say. Raises Refused."""
    source = "`fleetcast licence key`"
    keys = (public_key(text, "--licence-issuer", source) for text in args.licence_issuer)
    return LicenceTerms(args.without_licence, frozenset(key.hex() for key in keys))


def add_passfile(parser: argparse.ArgumentParser) -> None:
    """Declare where the password of a database on a server is."""
    parser.add_argument(
        "--database-passfile",
        type=Path,
        metavar="FILE",
        help="the file with the password of a database on a server, as of PostgreSQL's own programs"
        " (default: $PGPASSFILE, else ~/.pgpass; $PGPASSWORD wins)",
    )


def add_protection(parser: argparse.ArgumentParser) -> None:
    """Declare ``--mac`` and ``--encrypt`` (:mod:`castcore.cast.protection`)."""
    parser.add_argument(
        "--mac",
        action="store_true",
        help="tag every datagram, so that who has not joined can forge none (costs processor time)",
    )
    parser.add_argument(
        "--encrypt", action="store_true", help="encrypt every chunk, so that only who joins can read it"
    )


def _within(text: str, least: int, most: int) -> int:
    value = int(text)
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{value} is not within {least} and {most}")
    return value

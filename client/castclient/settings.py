"""What the client was told before it started: by the kernel command line, its server, its medium."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from castcore import canonical
from castcore.bootsettings import BadSettings, BootSettings, from_values
from castcore.disk import Rules
from castcore.errors import BadPacket, Untrusted
from castcore.trust import KEY_SIZE

TRUST_FILE = "/etc/fleetcast/trust.json"
RULES_FILE = "/etc/fleetcast/rules.toml"
TRUST_LIMIT = 64 << 10
_SERIAL = re.compile(r"ttyS\d+|ttyAMA\d+|hvc\d+")


# What the kernel command line may say in place of the medium's settings, behind "fleetcast.".
_WORDS = ("address", "gateway", "vlan", "nic")


class Mode(StrEnum):
    """What the boot environment begins with: a cast, or this machine's own capture and restore."""

    CAST = "cast"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this run behaves.

    ``server_url`` "" and ``server_key`` None mean "not told: look for one". ``interfaces`` None means
    every wired one. ``targets`` are the disks, one for each of the image's in their order; () means
    "choose": by ``rules``, () being "the only candidate".
    ``bring_up``, ``may_leave`` are False on a host that is not ours to configure or reboot. ``told`` is
    what the medium said, the kernel command line laid over it.
    ``shells``: keys open a shell and a file explorer. ``debug``: init has shells on the serial consoles.
    """

    server_url: str = ""
    server_key: bytes | None = None
    interfaces: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    rules: Rules = ()
    bring_up: bool = True
    may_leave: bool = True
    serial_consoles: tuple[str, ...] = ()
    told: BootSettings = field(default=BootSettings())
    mode: Mode = Mode.CAST
    shells: bool = True
    debug: bool = False


def from_boot(
    cmdline: str, trust: bytes | None, rules: Rules = (), medium: BootSettings | None = None
) -> Settings:
    """The settings of a booted client, from ``/proc/cmdline``, ``trust.json`` (None: no such file), and
    what its ``medium`` was made with.

    Raises Untrusted when the trust file or ``fleetcast.key`` is damaged: falling back to "any server"
    would be the wrong way to fail. Raises BadSettings for an address, VLAN or mode that can be none.
    """
    words = kernel_words(cmdline)
    told = overlaid(medium or BootSettings(), words)
    url, key = words.get("fleetcast.server", ""), server_key(words.get("fleetcast.key", "") or told.key)
    if trust is not None:
        trusted_url, key = read_trust(trust)
        url = url or trusted_url
    consoles = [w.partition("=")[2] for w in cmdline.split() if w[:8] == "console="]
    ports = [console.partition(",")[0] for console in (*consoles, *told.serial)]
    return Settings(
        server_url=url or told.server,
        server_key=key,
        targets=tuple(v for k, v in kernel_pairs(cmdline) if k == "fleetcast.target" and v),
        rules=rules,
        serial_consoles=tuple(dict.fromkeys(port for port in ports if _SERIAL.fullmatch(port))),
        told=told,
        mode=_mode(words.get("fleetcast.mode", Mode.CAST)),
        shells=words.get("fleetcast.shell", "on") != "off",
        debug="fleetcast.debug" in cmdline.split(),
    )


def overlaid(medium: BootSettings, words: Mapping[str, str]) -> BootSettings:
    """``medium`` with what the kernel command line's ``words`` say in its place. Raises BadSettings."""
    given: dict[str, str | int] = {
        name: words[f"fleetcast.{name}"] for name in _WORDS if words.get(f"fleetcast.{name}")
    }
    if "vlan" in given:
        try:
            given["vlan"] = int(given["vlan"])
        except ValueError:
            raise BadSettings(f"fleetcast.vlan={given['vlan']} is no number") from None
    if "address" in given:
        given.setdefault("gateway", "")  # the medium's own belongs to its own address
    return from_values(asdict(medium) | given)


def _mode(word: str) -> Mode:
    try:
        return Mode(word)
    except ValueError:
        raise BadSettings(f"fleetcast.mode={word}: it is {' or '.join(Mode)}") from None


def kernel_words(cmdline: str) -> dict[str, str]:
    """The ``name=value`` words of a kernel command line; the last of a name counts."""
    return dict(kernel_pairs(cmdline))


def kernel_pairs(cmdline: str) -> list[tuple[str, str]]:
    """All ``name=value`` words of a kernel command line, in their order."""
    try:
        words = shlex.split(cmdline)
    except ValueError:  # an unbalanced quote somewhere in what others put there
        words = cmdline.split()
    return [(name, value) for name, equals, value in (w.partition("=") for w in words) if equals]


def read_trust(data: bytes) -> tuple[str, bytes]:
    """URL and Ed25519 key of a ``trust.json``. Raises Untrusted."""
    try:
        value = canonical.decode(data, limit=TRUST_LIMIT)
        url, key = value.get("url", ""), server_key(value["key"])
    except (BadPacket, KeyError, TypeError, AttributeError):
        raise _damaged() from None
    if not isinstance(url, str) or key is None:
        raise _damaged()
    return url, key


def server_key(text: object) -> bytes | None:
    """The Ed25519 key that ``text`` spells in hex, None for "". Raises Untrusted."""
    if text == "":
        return None
    try:
        key = bytes.fromhex(str(text))
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise Untrusted(f"{text!r:.40} is no server key", hint=f"a key is {KEY_SIZE * 2} hex digits")
    return key


def _damaged() -> Untrusted:
    return Untrusted(f"{TRUST_FILE} is damaged", hint="boot this machine from the server again")

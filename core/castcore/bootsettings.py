"""What a boot medium tells the client that it starts: ``/etc/fleetcast/settings.toml``. Pure.

``media-builder`` writes it, the client reads it; the kernel command line wins over it.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from castcore.errors import Refused

SETTINGS_FILE = "/etc/fleetcast/settings.toml"
# A binary keymap as the kernel's KDSKBENT takes it, for busybox's loadkmap.
KEYMAP_FILE = "/etc/fleetcast/keymap"
HOOKS_FOLDER = "/etc/fleetcast/hooks"
KEY_DIGITS = 64
LAST_VLAN = 4094
LONGEST_INTERFACE = 15  # IFNAMSIZ less its zero byte
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
_KEYMAP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")
_SERIAL = re.compile(r"(ttyS|ttyAMA|ttyUSB|hvc)\d{1,3}(,\d{2,7}[neo]?[5-8]?r?)?")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


class BadSettings(Refused):
    """A setting that cannot be what it says; the message names it."""

    advice = "correct it; docs/media.md tells what each setting takes"


class Moment(StrEnum):
    """When a hook runs: before the network is brought up, when a server has us, after a cast."""

    START = "start"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BootSettings:
    """The settings of one medium; every default means "not told: as the client does by itself".

    ``address`` is an interface's ("192.0.2.7/24"), "" asks DHCP; ``vlan`` 0 is none; ``nic`` a name or
    MAC (lower case, colons), "" all wired ones; ``server`` a URL; ``key`` its Ed25519 key in hex;
    ``serial`` values of the kernel's ``console=``; ``hooks`` the hooks' places below HOOKS_FOLDER
    ("start.d/10-name"), in the order of their names. Raises BadSettings for a value that can be none.
    """

    address: str = ""
    gateway: str = ""
    vlan: int = 0
    nic: str = ""
    server: str = ""
    key: str = ""
    keymap: str = ""
    serial: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value:
                object.__setattr__(self, name, check(value))
        if not 0 <= self.vlan <= LAST_VLAN:
            raise BadSettings(f"vlan {self.vlan}: a VLAN has a number from 1 to {LAST_VLAN}")
        if self.gateway:
            _check_gateway(self.gateway, self.address)

    def encode(self) -> str:
        """The settings as TOML; what is not told is left out. Equal settings give equal text."""
        lines = ["# Made by media-builder."]
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                lines.append(f"{field.name} = {json.dumps(value)}")
        return "\n".join(lines) + "\n"


def parse(text: str) -> BootSettings:
    """The settings in TOML ``text``. Raises BadSettings for no TOML, unknown names, wrong values."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSettings(f"{SETTINGS_FILE} is no TOML: {error}") from None
    return from_values(values)


def from_values(values: Mapping[str, Any]) -> BootSettings:
    """The settings of a TOML table. Raises BadSettings."""
    unknown = sorted(set(values) - {field.name for field in fields(BootSettings)})
    if unknown:
        raise BadSettings(f"there is no setting {unknown[0]!r}")
    given = {name: _typed(name, value) for name, value in values.items()}
    return BootSettings(**given)


def hook_place(moment: Moment, name: str) -> str:
    """Where the hook ``name`` of ``moment`` lies below HOOKS_FOLDER. Raises BadSettings."""
    return _checked_hook(f"{moment}.d/{name}")


def _typed(name: str, value: Any) -> Any:
    """``value`` if it has the type of the setting ``name``; lists become tuples."""
    if name in ("serial", "hooks"):
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise BadSettings(f"{name} takes a list of texts, not {value!r}")
    kind = int if name == "vlan" else str
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = "a number" if kind is int else "a text"
        raise BadSettings(f"{name} takes {wanted}, not {value!r}")
    return value


def _checked_address(text: str) -> str:
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        address = None
    if address is None or "/" not in text or "%" in text:
        raise BadSettings(
            f"address {text!r} is no address with its prefix length",
            hint="write it as 192.0.2.7/24 or 2001:db8::7/64",
        )
    network = address.network
    lone = network.prefixlen >= network.max_prefixlen - 1
    ends = (network.network_address, network.broadcast_address)
    if address.is_multicast or address.is_unspecified or (address.ip in ends and not lone):
        raise BadSettings(f"address {text!r} is no machine's: it names a network or a group")
    return str(address)


def _checked_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadSettings(f"gateway {text!r} is no IP address") from None


def _check_gateway(gateway: str, address: str) -> None:
    if not address:
        raise BadSettings("a gateway needs an address", hint="give both, or neither for DHCP")
    own, way = ipaddress.ip_interface(address), ipaddress.ip_address(gateway)
    if own.version != way.version or (way not in own.network and not way.is_link_local):
        raise BadSettings(f"gateway {gateway} is not in the network of {address}")


def _checked_nic(text: str) -> str:
    mac = text.lower().replace("-", ":")
    if _MAC.fullmatch(mac):
        return mac
    if len(text) > LONGEST_INTERFACE or not _INTERFACE.fullmatch(text):
        raise BadSettings(
            f"nic {text!r} is neither a MAC nor an interface's name",
            hint="write 52:54:00:12:34:56, or a name as the client shows it (enp3s0)",
        )
    return text


def _checked_server(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    whole = parts.scheme == "https" and _HOST.fullmatch(host) and port != 0
    if not whole or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise BadSettings(
            f"server {text!r} is no address of a cast server", hint="write it as https://192.0.2.1:8443"
        )
    return text.rstrip("/")


def _checked_key(text: str) -> str:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{KEY_DIGITS}}}", text):
        raise BadSettings(
            f"{text!r:.40} is no server key",
            hint=f"a key is {KEY_DIGITS} hex digits; `fleetcast serve --json` tells it",
        )
    return text.lower()


def _checked_keymap(text: str) -> str:
    if not _KEYMAP.fullmatch(text):
        raise BadSettings(f"keymap {text!r} is no keymap's name", hint="names are us, de, fr, jp106 ...")
    return text


def _checked_serial(consoles: tuple[str, ...]) -> tuple[str, ...]:
    for console in consoles:
        if not _SERIAL.fullmatch(console):
            raise BadSettings(f"serial {console!r} is no console", hint="write it as ttyS0,115200")
    return tuple(dict.fromkeys(consoles))


def _checked_hooks(hooks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({_checked_hook(hook) for hook in hooks}))


def _checked_hook(place: str) -> str:
    folder, _, name = place.partition("/")
    if folder.removesuffix(".d") not in set(Moment) or not FILE_NAME.fullmatch(name):
        moments = ", ".join(Moment)
        raise BadSettings(f"hook {place!r}: hooks run at {moments}, and have plain names")
    return place


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "address": _checked_address,
    "gateway": _checked_ip,
    "nic": _checked_nic,
    "server": _checked_server,
    "key": _checked_key,
    "keymap": _checked_keymap,
    "serial": _checked_serial,
    "hooks": _checked_hooks,
}

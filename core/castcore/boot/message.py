"""DHCP messages as frozen values (RFC 2131), and the machine that sends one.

Bytes become a :class:`DhcpRequest` in ``castcore.edge.net.dhcppacket``; a :class:`DhcpReply` becomes
bytes there. Everything between is decided in this package, without socket or clock.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from castcore.boot.options import Option, pieces
from castcore.errors import BadPacket

UNSPECIFIED = IPv4Address(0)
ETHERNET = 1
MAC_BYTES = 6
MACHINE_ID_BYTES = 17
# The user class (option 77) by which a Fleetcast server that looks around tells itself from a machine.
LOOKING_CLASS = b"fleetcast-looks"


class MessageType(IntEnum):
    """DHCP message types (RFC 2132 section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Architecture(IntEnum):
    """Client system architectures (RFC 4578 section 2.1 with its errata; IANA's list)."""

    BIOS = 0
    UEFI_IA32 = 6
    UEFI_X64 = 7
    # The RFC's first print swapped 7 and 9; firmware of both readings is in the field.
    UEFI_X64_OLD = 9
    UEFI_ARM32 = 10
    UEFI_ARM64 = 11
    HTTP_IA32 = 15
    HTTP_X64 = 16
    HTTP_ARM64 = 19


@dataclass(frozen=True)
class DhcpRequest:
    """One message from a client, as far as we use it. Absent addresses are 0.0.0.0."""

    message_type: MessageType
    xid: int
    mac: str
    secs: int = 0
    broadcast: bool = False
    ciaddr: IPv4Address = UNSPECIFIED
    giaddr: IPv4Address = UNSPECIFIED
    requested: IPv4Address = UNSPECIFIED
    server_id: IPv4Address = UNSPECIFIED
    vendor_class: str = ""
    user_class: bytes = b""
    architecture: int | None = None
    machine_id: bytes = b""
    vendor_specific: bytes = b""
    ipxe: bytes = b""
    relay_information: bytes = b""

    @property
    def uuid(self) -> str:
        """The machine's UUID in its usual text form, "" when it sent none.

        OVMF and iPXE both send SMBIOS's bytes, whose first three fields are little-endian.
        """
        return str(uuid.UUID(bytes_le=self.machine_id[1:])) if self.machine_id else ""

    @property
    def is_ipxe(self) -> bool:
        """Whether iPXE sends this: it says so by user class, or by its own option 175."""
        return b"iPXE" in self.user_class or bool(self.ipxe)


@dataclass(frozen=True)
class DhcpReply:
    """One message from us. ``options`` hold everything but the message type, in order of sending."""

    message_type: MessageType
    xid: int
    mac: str
    broadcast: bool = False
    ciaddr: IPv4Address = UNSPECIFIED
    yiaddr: IPv4Address = UNSPECIFIED
    siaddr: IPv4Address = UNSPECIFIED
    giaddr: IPv4Address = UNSPECIFIED
    file: str = ""
    options: tuple[tuple[int, bytes], ...] = ()


def read_options(
    options: Mapping[int, bytes],
    *,
    xid: int,
    mac: str,
    secs: int,
    broadcast: bool,
    ciaddr: IPv4Address,
    giaddr: IPv4Address,
) -> DhcpRequest:
    """The request made of the header's fields and the ``options``. Raises BadPacket.

    A machine id of a wrong shape counts as none: firmware that gets it wrong can still be booted.
    """
    machine_id = options.get(Option.MACHINE_ID, b"")
    vendor_class = options.get(Option.VENDOR_CLASS, b"").decode("ascii", "replace").rstrip("\0")
    return DhcpRequest(
        message_type=_message_type(options),
        xid=xid,
        mac=mac,
        secs=secs,
        broadcast=broadcast,
        ciaddr=ciaddr,
        giaddr=giaddr,
        requested=_address(options, Option.REQUESTED_ADDRESS),
        server_id=_address(options, Option.SERVER_ID),
        vendor_class=vendor_class,
        user_class=options.get(Option.USER_CLASS, b""),
        architecture=_architecture(options, vendor_class),
        machine_id=machine_id if _is_machine_id(machine_id) else b"",
        vendor_specific=options.get(Option.VENDOR_SPECIFIC, b""),
        ipxe=options.get(Option.IPXE, b""),
        relay_information=options.get(Option.RELAY_INFORMATION, b""),
    )


def suboptions(field: bytes) -> dict[int, bytes]:
    """An option's encapsulated options (43, 175) by code; empty when they are damaged.

    Both are hints: vendors put other things than PXE's options into 43.
    """
    try:
        return dict(pieces(field))
    except BadPacket:
        return {}


def mac_text(hardware: bytes) -> str:
    """``aa:bb:cc:dd:ee:ff`` of a hardware address."""
    return hardware.hex(":")


def mac_bytes(mac: str) -> bytes:
    """The six bytes of ``mac``; ValueError when it is no such text."""
    raw = bytes.fromhex(mac.replace(":", ""))
    if len(raw) != MAC_BYTES:
        raise ValueError(f"{mac} is not a MAC address")
    return raw


def _message_type(options: Mapping[int, bytes]) -> MessageType:
    value = options.get(Option.MESSAGE_TYPE, b"")
    if len(value) != 1 or value[0] not in list(MessageType):
        raise BadPacket(f"a BOOTP message without a known DHCP message type ({value[:4].hex()})")
    return MessageType(value[0])


def _address(options: Mapping[int, bytes], code: Option) -> IPv4Address:
    value = options.get(code)
    if value is None:
        return UNSPECIFIED
    if len(value) != 4:
        raise BadPacket(f"DHCP option {int(code)} is {len(value)} bytes, an address has 4")
    return IPv4Address(value)


def _architecture(options: Mapping[int, bytes], vendor_class: str) -> int | None:
    """Option 93's first entry; else what ``PXEClient:Arch:00007:...`` of option 60 says."""
    value = options.get(Option.ARCHITECTURE, b"")
    if len(value) >= 2:
        return int(struct.unpack_from("!H", value)[0])
    words = vendor_class.split(":")
    if len(words) >= 3 and words[1] == "Arch" and words[2].isascii() and words[2].isdigit():
        return int(words[2][:5])
    return None


def _is_machine_id(value: bytes) -> bool:
    # RFC 4578 section 2.3: type 0, then a GUID. All-zero or all-one GUIDs name no machine.
    return (
        len(value) == MACHINE_ID_BYTES and value[0] == 0 and value[1:] not in (bytes(16), b"\xff" * 16)
    )

"""What a network-booting machine is, and the boot file and options that fit it.

PXE 2.1 section 2.2 (options), RFC 4578 (93, 94, 97), UEFI 2.10 section 24.7 (HTTP boot).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv4Address

from castcore.boot import bootnames
from castcore.boot.bootnames import MachineFile, MachineName
from castcore.boot.message import Architecture, DhcpRequest, suboptions
from castcore.boot.options import Option, encode_options
from castcore.boot.policy import BootDecision

PXE_CLASS = "PXEClient"
HTTP_CLASS = "HTTPClient"
# iPXE's feature list inside option 175 (iPXE src/include/ipxe/features.h): EFI images, HTTP.
IPXE_FEATURE_EFI = 0x24
IPXE_FEATURE_HTTP = 0x13
# The tree's own has it, those of network cards have not. Its version tells nothing: Debian's calls
# itself 1.0.0 as old ROMs do.
IPXE_FEATURE_HTTPS = 0x14


class Pxe(IntEnum):
    """Options inside option 43 (PXE 2.1, table 2-1)."""

    DISCOVERY_CONTROL = 6
    BOOT_MENU = 9
    MENU_PROMPT = 10
    BOOT_ITEM = 71


# Discovery control bits: no broadcast, no multicast discovery; use the boot file of this very offer.
NO_DISCOVERY = 0b0011
USE_BOOT_FILE = 0b1000
LOCAL_BOOT = b"\0\0"
MENU_TEXT = b"Boot from the local disk"


class Kind(Enum):
    """The families of network-boot clients, by what they can load."""

    BIOS = "BIOS PXE"
    UEFI = "UEFI PXE"
    HTTP = "UEFI HTTP boot"
    IPXE_BIOS = "iPXE on BIOS"
    IPXE_UEFI = "iPXE on UEFI"
    ARM64 = "ARM64 UEFI PXE"
    ARM64_HTTP = "ARM64 UEFI HTTP boot"
    UNSUPPORTED = "unsupported"

    @property
    def is_ipxe(self) -> bool:
        """Whether it runs scripts."""
        return self in (Kind.IPXE_BIOS, Kind.IPXE_UEFI)

    @property
    def is_http(self) -> bool:
        """Whether its firmware loads by HTTP from the start."""
        return self in (Kind.HTTP, Kind.ARM64_HTTP)

    @property
    def is_uefi(self) -> bool:
        """Whether its firmware is known to be UEFI."""
        return self not in (Kind.BIOS, Kind.IPXE_BIOS, Kind.UNSUPPORTED)

    @property
    def is_arm64(self) -> bool:
        """Whether it takes files of its own, which a boot tree may lack."""
        return self in (Kind.ARM64, Kind.ARM64_HTTP)


_PXE_KINDS: dict[int | None, Kind] = {
    Architecture.BIOS: Kind.BIOS,
    Architecture.UEFI_X64: Kind.UEFI,
    Architecture.UEFI_X64_OLD: Kind.UEFI,
    Architecture.UEFI_ARM64: Kind.ARM64,
}
_HTTP_KINDS: dict[int | None, Kind] = {
    Architecture.HTTP_X64: Kind.HTTP,
    Architecture.HTTP_ARM64: Kind.ARM64_HTTP,
}
# iPXE runs scripts; on ARM64 it loads what the firmware would.
_IPXE_KINDS = {Kind.BIOS: Kind.IPXE_BIOS, Kind.UEFI: Kind.IPXE_UEFI}
_NAMES: dict[int, str] = {
    Architecture.UEFI_IA32: "32-bit UEFI",
    Architecture.HTTP_IA32: "32-bit UEFI HTTP boot",
    Architecture.UEFI_ARM32: "32-bit ARM UEFI",
    Architecture.UEFI_ARM64: "ARM64 UEFI",
    Architecture.HTTP_ARM64: "ARM64 UEFI HTTP boot",
}


@dataclass(frozen=True)
class BootPlace:
    """Where this interface's machines find us.

    ``replace_ipxe``: iPXE on BIOS without HTTPS, as network cards have it, is given ours.
    ``arm64``: there are files for ARM64 machines too.
    """

    address: IPv4Address
    http_port: int
    replace_ipxe: bool = False
    arm64: bool = False

    def url(self, path: str) -> str:
        """The plain-HTTP address of a boot file."""
        return f"http://{self.address}:{self.http_port}/{path}"


@dataclass(frozen=True)
class BootInfo:
    """What a machine is told to load: the BOOTP ``file`` and ``siaddr``, and the PXE options."""

    file: str
    siaddr: IPv4Address
    options: tuple[tuple[int, bytes], ...]


def kind_of(request: DhcpRequest, *, replace_ipxe: bool = False) -> Kind | None:
    """The family of the machine; None when it is not booting from the network at all.

    iPXE on BIOS that cannot load our script by HTTP, or that shall be replaced (see BootPlace), counts
    as plain PXE, so that it loads our iPXE.
    """
    if request.vendor_class.startswith(HTTP_CLASS):
        return _HTTP_KINDS.get(request.architecture, Kind.UNSUPPORTED)
    if not request.vendor_class.startswith(PXE_CLASS):
        return None
    kind = _PXE_KINDS.get(request.architecture, Kind.UNSUPPORTED)
    if kind is Kind.BIOS:
        return Kind.IPXE_BIOS if _runs_scripts(request, replace_ipxe=replace_ipxe) else kind
    return _IPXE_KINDS.get(kind, kind) if request.is_ipxe else kind


def has_files(kind: Kind, place: BootPlace) -> bool:
    """Whether there is anything that machines of ``kind`` could load."""
    return kind is not Kind.UNSUPPORTED and (place.arm64 or not kind.is_arm64)


def refusal(request: DhcpRequest, kind: Kind, place: BootPlace) -> str:
    """Why this machine cannot be booted, in a sentence; "" when it can."""
    if not has_files(kind, place):
        number = request.architecture
        if number is None:
            return "it does not say its architecture (DHCP option 93), so no boot program can be chosen"
        name = _NAMES.get(number, "unknown")
        why = (
            "the boot tree holds no files for ARM64" if kind.is_arm64 else "such machines are not booted"
        )
        return f"architecture {number} ({name}): {why}, only x86-64 UEFI and BIOS"
    if kind is Kind.IPXE_UEFI and not _ipxe_has(request, IPXE_FEATURE_EFI, IPXE_FEATURE_HTTP):
        return "its network card's iPXE cannot load an EFI kernel over HTTP; use its firmware's own PXE"
    return ""


def goes_on_to_http(kind: Kind, decision: BootDecision) -> bool:
    """Whether the attempt is ended because it is the machine's HTTP boot entry that takes the image."""
    return kind in (Kind.UEFI, Kind.ARM64) and decision is BootDecision.IMAGE


def boot_info(request: DhcpRequest, kind: Kind, decision: BootDecision, place: BootPlace) -> BootInfo:
    """What a machine of ``kind`` is told for ``decision`` (CLIENT, IMAGE or LOCAL)."""
    if kind.is_http:
        return _http_info(request, kind, decision, place)
    if decision is BootDecision.LOCAL or goes_on_to_http(kind, decision):
        return _local_info(request, kind, place)
    file = place.url(bootnames.IPXE_SCRIPT) if kind.is_ipxe else _first_file(kind)
    item = suboptions(request.vendor_specific).get(Pxe.BOOT_ITEM)
    inner: list[tuple[int, bytes]] = [(Pxe.DISCOVERY_CONTROL, bytes([USE_BOOT_FILE]))]
    if item is not None:
        inner.append((Pxe.BOOT_ITEM, item))
    options = [
        *_identity(request, PXE_CLASS),
        (Option.VENDOR_SPECIFIC, _encapsulated(inner)),
        (Option.TFTP_SERVER_NAME, str(place.address).encode()),
        (Option.BOOT_FILE, file.encode()),
    ]
    return BootInfo(file=file, siaddr=place.address, options=tuple(options))


def _first_file(kind: Kind) -> str:
    return {Kind.BIOS: bootnames.UNDIONLY, Kind.ARM64: bootnames.SHIM_ARM64}.get(kind, bootnames.SHIM)


def _local_info(request: DhcpRequest, kind: Kind, place: BootPlace) -> BootInfo:
    """Ends the attempt: a PXE menu whose only entry, taken after 0 s, is type 0, local boot.

    iPXE gets a script that exits instead: see BOOTING.md for what each firmware obeys.
    """
    if kind.is_ipxe:
        file = place.url(bootnames.LOCAL_SCRIPT)
        inner: list[tuple[int, bytes]] = [(Pxe.DISCOVERY_CONTROL, bytes([USE_BOOT_FILE]))]
    else:
        file = ""
        entry = LOCAL_BOOT + bytes([len(MENU_TEXT)]) + MENU_TEXT
        inner = [
            (Pxe.DISCOVERY_CONTROL, bytes([NO_DISCOVERY])),
            (Pxe.BOOT_MENU, entry),
            (Pxe.MENU_PROMPT, b"\0" + MENU_TEXT),
        ]
    options = [
        *_identity(request, PXE_CLASS),
        (Option.VENDOR_SPECIFIC, _encapsulated(inner)),
    ]
    return BootInfo(file=file, siaddr=place.address, options=tuple(options))


def _http_info(request: DhcpRequest, kind: Kind, decision: BootDecision, place: BootPlace) -> BootInfo:
    names = {
        BootDecision.CLIENT: bootnames.HTTP_SHIM_ARM64 if kind.is_arm64 else bootnames.HTTP_SHIM,
        BootDecision.IMAGE: str(MachineName(request.mac, request.uuid, MachineFile.IMAGE)),
    }
    # A machine to be skipped gets an address that answers 404 at once: no answer costs it minutes.
    file = place.url(names.get(decision, bootnames.NOTHING))
    options = (*_identity(request, HTTP_CLASS), (int(Option.BOOT_FILE), file.encode()))
    return BootInfo(file=file, siaddr=place.address, options=options)


def _identity(request: DhcpRequest, vendor_class: str) -> tuple[tuple[int, bytes], ...]:
    """Options 60 and 97; the latter is echoed only when sent (RFC 4578 section 2.3)."""
    found: list[tuple[int, bytes]] = [(Option.VENDOR_CLASS, vendor_class.encode())]
    if request.machine_id:
        found.append((Option.MACHINE_ID, request.machine_id))
    return tuple(found)


def _encapsulated(inner: Sequence[tuple[int, bytes]]) -> bytes:
    return encode_options(inner).rstrip(b"\0")


def _runs_scripts(request: DhcpRequest, *, replace_ipxe: bool) -> bool:
    wanted = IPXE_FEATURE_HTTPS if replace_ipxe else IPXE_FEATURE_HTTP
    # One that lists no features at all is believed: a relay or a build may leave them out.
    return request.is_ipxe and (not request.ipxe or _ipxe_has(request, wanted))


def _ipxe_has(request: DhcpRequest, *features: int) -> bool:
    offered = suboptions(request.ipxe)
    return all(feature in offered for feature in features)

"""Boot entries as the firmware keeps them: EFI_LOAD_OPTION, in variables Boot0000 to BootFFFF. Pure.

UEFI Specification 2.10, section 3.1.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from castcore.disk.devicepath import (
    DevicePath,
    FilePath,
    HardDrive,
    OtherNode,
    PciHop,
    encode_device_path,
    parse_device_path,
)
from castcore.errors import BadImage

ACTIVE = 0x00000001
# Attributes, bytes of the device paths; the description follows.
_HEADER = struct.Struct("<IH")


@dataclass(frozen=True, slots=True)
class LoadOption:
    """One boot entry: a name for people, where its loader is, and ``data`` handed to that."""

    description: str
    path: DevicePath
    data: bytes = b""
    attributes: int = ACTIVE

    @property
    def active(self) -> bool:
        """Whether the firmware tries it at all."""
        return bool(self.attributes & ACTIVE)

    @property
    def partition(self) -> HardDrive | None:
        """The partition that it boots from, None when it names none."""
        return next((node for node in self.path if isinstance(node, HardDrive)), None)

    @property
    def loader(self) -> str:
        """The loader's path on its partition, with backslashes; "" when the firmware finds it."""
        parts = [node.path for node in self.path if isinstance(node, FilePath)]
        return "\\".join(part.strip("\\") if i else part.rstrip("\\") for i, part in enumerate(parts))

    @property
    def over_network(self) -> bool:
        """Whether it boots from the network."""
        return any(isinstance(node, OtherNode) and node.is_network for node in self.path)

    @property
    def hops(self) -> tuple[PciHop, ...]:
        """The way from the PCI root bridge to the controller; () when there is none."""
        first = self.path[0] if self.path else None
        if not isinstance(first, OtherNode) or not first.is_root_bridge:
            return ()
        return tuple(node for node in self.path if isinstance(node, PciHop))


def parse_load_option(data: bytes) -> LoadOption:
    """The boot entry in ``data``, a variable's value. Raises BadImage when it is none."""
    if len(data) < _HEADER.size:
        raise BadImage(f"boot entry: {len(data)} bytes")
    attributes, path_bytes = _HEADER.unpack_from(data)
    end = _HEADER.size
    while data[end : end + 2] not in (b"\0\0", b""):
        end += 2
    paths = data[end + 2 : end + 2 + path_bytes]
    if len(paths) != path_bytes:
        raise BadImage(f"boot entry: its {path_bytes} bytes of device paths are cut off")
    description = data[_HEADER.size : end].decode("utf-16-le", errors="replace")
    # Further paths behind the first one are the firmware's own business.
    return LoadOption(description, parse_device_path(paths), data[end + 2 + path_bytes :], attributes)


def encode_load_option(option: LoadOption) -> bytes:
    """The variable's value for ``option``. Raises ValueError when its path is too long."""
    paths = encode_device_path(option.path)
    if len(paths) > 0xFFFF:
        raise ValueError(f"boot entry: {len(paths)} bytes of device paths")
    text = (option.description + "\0").encode("utf-16-le", errors="replace")
    return _HEADER.pack(option.attributes, len(paths)) + text + paths + option.data

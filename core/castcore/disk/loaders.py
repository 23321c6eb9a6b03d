"""What a firmware could start from an EFI system partition, and which of it needs a boot entry. Pure."""

from __future__ import annotations

from castcore.disk.bootentry import FALLBACK_LOADER, BootEntry
from castcore.disk.fs.fatfiles import FatVolume

# The first of these that a system's directory holds is what its installer makes a boot entry for.
_STARTED_FIRST = ("shimx64.efi", "bootmgfw.efi", "grubx64.efi", "systemd-bootx64.efi")
_WINDOWS = "\\EFI\\Microsoft\\Boot"
# Names that people know from their firmware's boot menu.
_DESCRIPTIONS = {"microsoft": "Windows Boot Manager", "systemd": "Linux Boot Manager"}
_MOST_DIRECTORIES = 256


def loaders(esp: FatVolume) -> tuple[str, ...]:
    """The paths of all EFI programs in the usual places, those that are started first foremost."""
    found = []
    for folder in [f for f in esp.entries("\\EFI") if f.is_directory][:_MOST_DIRECTORIES]:
        path = _WINDOWS if folder.name.lower() == "microsoft" else f"\\EFI\\{folder.name}"
        found += [f"{path}\\{f.name}" for f in esp.entries(path) if f.name.lower().endswith(".efi")]
    return tuple(sorted(found, key=lambda path: (_rank(path), path.lower())))


def has_fallback(esp: FatVolume) -> bool:
    """Whether the firmware boots it without having an entry for it."""
    found = esp.find(FALLBACK_LOADER)
    return found is not None and not found.is_directory


def found_entries(paths: tuple[str, ...], disk: int, partition: int) -> tuple[BootEntry, ...]:
    """Boot entries for the systems whose programs are ``paths``, as their installers would make them."""
    entries: dict[str, BootEntry] = {}
    for path in paths:
        system = path.split("\\")[2]
        if _rank(path) < len(_STARTED_FIRST) and system.lower() not in entries:
            description = _DESCRIPTIONS.get(system.lower(), system)
            entries[system.lower()] = BootEntry(description, path, disk, partition)
    return tuple(entries.values())


def _rank(path: str) -> int:
    name = path.rpartition("\\")[2].lower()
    return _STARTED_FIRST.index(name) if name in _STARTED_FIRST else len(_STARTED_FIRST)

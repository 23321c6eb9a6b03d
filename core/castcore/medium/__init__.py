"""What a boot medium is: where its parts lie, how one is recognised, and what it says of itself."""

from castcore.medium.info import MEDIUM_FILE, MEDIUM_LIMIT, MediumInfo, parse_info
from castcore.medium.layout import (
    BIOS_SLOT,
    BOOT_SLOT,
    EFI_SYSTEM,
    IMAGES,
    LEDGER_TYPE,
    LICENCES,
    PXE_TREE,
    DataFileSystem,
    Layout,
    MediumKind,
    Role,
    least_size,
    plan_layout,
)
from castcore.medium.recognise import MediumParts, medium_kind, recognise

__all__ = [
    "BIOS_SLOT",
    "BOOT_SLOT",
    "EFI_SYSTEM",
    "IMAGES",
    "LEDGER_TYPE",
    "LICENCES",
    "MEDIUM_FILE",
    "MEDIUM_LIMIT",
    "PXE_TREE",
    "DataFileSystem",
    "Layout",
    "MediumInfo",
    "MediumKind",
    "MediumParts",
    "Role",
    "least_size",
    "medium_kind",
    "parse_info",
    "plan_layout",
    "recognise",
]

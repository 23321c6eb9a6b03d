"""The pure disk model: extents, layout, fit (does this image go on that disk) and plan."""

from castcore.disk.bootentry import BootEntry
from castcore.disk.choice import choose_target
from castcore.disk.extent import Extent, Extents, align, intersect, merge, shift, subtract, total
from castcore.disk.fit import Fit, Reason, ReasonCode, fit, needed_size
from castcore.disk.gpt import Write, relocated_backup, table_length
from castcore.disk.layout import (
    DiskFacts,
    DiskLayout,
    Partition,
    TableType,
    Taken,
    facts_from_json,
    facts_to_json,
    layout_from_json,
    layout_to_json,
)

__all__ = [
    "BootEntry",
    "DiskFacts",
    "DiskLayout",
    "Extent",
    "Extents",
    "Fit",
    "Partition",
    "Reason",
    "ReasonCode",
    "TableType",
    "Taken",
    "Write",
    "align",
    "choose_target",
    "facts_from_json",
    "facts_to_json",
    "fit",
    "intersect",
    "layout_from_json",
    "layout_to_json",
    "merge",
    "needed_size",
    "relocated_backup",
    "shift",
    "subtract",
    "table_length",
    "total",
]

"""The pure disk model: extents, layout, fit (does this image go on that disk) and plan."""

from castcore.disk.extent import Extent, Extents, align, intersect, merge, shift, subtract, total
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
    "DiskFacts",
    "DiskLayout",
    "Extent",
    "Extents",
    "Partition",
    "TableType",
    "Taken",
    "align",
    "facts_from_json",
    "facts_to_json",
    "intersect",
    "layout_from_json",
    "layout_to_json",
    "merge",
    "shift",
    "subtract",
    "total",
]

"""The pure disk model: extents, layout, fit (does this image go on that disk) and plan."""

from castcore.disk.bootentry import BootEntry, BootLoader
from castcore.disk.choice import choose_target, choose_targets
from castcore.disk.extent import Extent, Extents, align, intersect, merge, shift, subtract, total
from castcore.disk.fit import Fit, Imaged, Reason, ReasonCode, fit, fit_all, needed_size, refusal
from castcore.disk.gpt import Write, relocated_backup, table_length
from castcore.disk.growth import Growth, GrowTool, grown_gpt, grown_mbr
from castcore.disk.identity import find_disk, firmware_raid, is_selector, with_first_paths
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
from castcore.disk.partfit import PartitionPlan, plan_partition
from castcore.disk.plan import Action, ActionKind, Plan, Wishes, plan_lines, plan_restore, plan_to_json
from castcore.disk.rules import Rule, Rules, parse_rules
from castcore.disk.sectors import (
    Conversion,
    Rework,
    conversion,
    converted_head,
    fat_bits,
    ntfs_boot_sectors,
)
from castcore.disk.shrinkage import (
    Move,
    Shrinkage,
    boot_sector_moved,
    moved_gpt,
    moved_mbr,
    shrinkable,
    shrinkage,
)

__all__ = [
    "Action",
    "ActionKind",
    "BootEntry",
    "BootLoader",
    "Conversion",
    "DiskFacts",
    "DiskLayout",
    "Extent",
    "Extents",
    "Fit",
    "GrowTool",
    "Growth",
    "Imaged",
    "Move",
    "Partition",
    "PartitionPlan",
    "Plan",
    "Reason",
    "ReasonCode",
    "Rework",
    "Rule",
    "Rules",
    "Shrinkage",
    "TableType",
    "Taken",
    "Wishes",
    "Write",
    "align",
    "boot_sector_moved",
    "choose_target",
    "choose_targets",
    "conversion",
    "converted_head",
    "facts_from_json",
    "facts_to_json",
    "fat_bits",
    "find_disk",
    "firmware_raid",
    "fit",
    "fit_all",
    "grown_gpt",
    "grown_mbr",
    "intersect",
    "is_selector",
    "layout_from_json",
    "layout_to_json",
    "merge",
    "moved_gpt",
    "moved_mbr",
    "needed_size",
    "ntfs_boot_sectors",
    "parse_rules",
    "plan_lines",
    "plan_partition",
    "plan_restore",
    "plan_to_json",
    "refusal",
    "relocated_backup",
    "shift",
    "shrinkable",
    "shrinkage",
    "subtract",
    "table_length",
    "total",
    "with_first_paths",
]

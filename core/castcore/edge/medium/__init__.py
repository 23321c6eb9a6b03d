"""Deploy media of this machine: found by their tables, opened by mounting their data partition."""

from castcore.edge.medium.finding import FoundMedium, find_media, medium_at
from castcore.edge.medium.opening import LedgerPlace, OpenMedium, open_medium

__all__ = ["FoundMedium", "LedgerPlace", "OpenMedium", "find_media", "medium_at", "open_medium"]

"""Whether anything that is kept names a machine: then it is kept, too."""

from __future__ import annotations

from sqlalchemy import select

from castserver.database.database import Database
from castserver.database.tables import CaptureRow, DurableRow, LicenceUseRow, PartRow


def names(database: Database, machine: str) -> bool:
    """Whether a cast, capture, licence or disk record names ``machine`` (its id)."""
    rows = (PartRow, CaptureRow, LicenceUseRow, DurableRow)
    wanted = (select(row).where(row.machine == machine).limit(1) for row in rows)
    return any(database.find(chosen) for chosen in wanted)

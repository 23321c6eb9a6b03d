"""Where a server keeps its state when nobody says: for the server and whoever looks for its key."""

from __future__ import annotations

import os
from pathlib import Path

STATE_VARIABLE = "FLEETCAST_STATE"
DEFAULT_STATE = "/var/lib/fleetcast/server"


def default_state() -> Path:
    """``$FLEETCAST_STATE``, else the usual directory."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE)

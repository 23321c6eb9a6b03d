"""How many files and connections the process may have open: each client keeps two or three."""

from __future__ import annotations

import resource


def allow_many() -> None:
    """Raise the soft limit to the hard one; shells and services start with 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

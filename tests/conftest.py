"""What every run of pytest shares: tests that take minutes run only where they are asked for."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: a busy one fails nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``soak`` unless the marker expression (``-m``) names it."""
    if "soak" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)

"""What every test can rely on: tests that need root say so instead of failing oddly."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long one example takes on a busy machine says nothing about the code.
settings.register_profile("fleetcast", deadline=None)
settings.load_profile("fleetcast")

FAST = ("unit", "property", "golden", "lint")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needs_root = item.get_closest_marker("root") or item.get_closest_marker("vm")
        if needs_root and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: run it through `make test`"))


def pytest_itemcollected(item: pytest.Item) -> None:
    # A fast test that needs root would be run by nobody: `make test-fast` has no root.
    folder = item.path.parent.name
    if folder in FAST and (item.get_closest_marker("root") or item.get_closest_marker("vm")):
        raise pytest.UsageError(f"{item.nodeid}: tests in {folder}/ need no root and no virtual PC")

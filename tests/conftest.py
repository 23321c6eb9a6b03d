"""What every run of pytest shares.

Tests that take minutes run only where they are asked for. Every image that a test makes is read by
another reader as well, which was written from FORMAT.md alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from castcore.edge.image.imagewriter import ImageWriter
from castcore.image import Manifest
from hypothesis import settings

from tests.golden.independent import read_image
from tests.support import databases, figures

# The other reader holds a whole image in memory.
MOST_READ = 256 << 20

# How long an example takes is the machine's affair: a busy one fails nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_sessionfinish() -> None:
    """End what ``databases`` started."""
    databases.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures that tests have printed."""
    reports = [one for some in terminalreporter.stats.values() for one in some]
    printed = [(r.nodeid, r.capstdout) for r in reports if isinstance(r, pytest.TestReport)]
    if lines := list(figures.told(dict.fromkeys(printed))):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``soak`` unless the marker expression (``-m``) names it, and what is of
    another database than the run's.
    """
    left_out = [
        item
        for item in items
        if (item.get_closest_marker("soak") and "soak" not in config.option.markexpr)
        or (item.get_closest_marker("sqlite") and databases.POSTGRES)
    ]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _databases_are_given_back() -> Iterator[None]:
    databases.begin()
    yield
    databases.give_back()


@pytest.fixture(scope="session", autouse=True)
def _every_image_is_read_by_another_reader() -> Iterator[None]:
    finish = ImageWriter.finish

    def finished(self: ImageWriter, manifest: Manifest) -> Manifest:
        complete = finish(self, manifest)
        if sum(complete.packs) <= MOST_READ:
            read_image(self._directory)
        return complete

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageWriter, "finish", finished)
        yield

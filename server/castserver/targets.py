"""The disks that a command is about to erase: their facts, and the operator's word for it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from castcore.disk import DiskFacts
from castcore.edge.commandline import Screen
from castcore.edge.disk import probe
from castcore.errors import Refused
from castcore.image import Manifest


def target_facts(manifest: Manifest, paths: Sequence[str]) -> list[DiskFacts]:
    """The disks at ``paths`` as they are now. Raises NotFound, DiskFailed."""
    facts = [probe.disk(path) for path in paths]
    # A file has no sectors of its own: it is written for the sector size the image has.
    return [
        replace(f, sector_size=d.layout.sector_size) if Path(f.path).is_file() else f
        for f, d in zip(facts, manifest.disks, strict=False)
    ] + facts[len(manifest.disks) :]


def confirm_erase(targets: Sequence[str], screen: Screen) -> None:
    """Return when the operator types yes; else raise Refused."""
    named = ", ".join(targets)
    if screen.as_json or not sys.stdin.isatty():
        raise Refused(f"nobody is here to confirm that {named} is erased", hint="add --yes")
    screen.say(f"Everything on {named} will be lost. Type yes to go on:")
    if sys.stdin.readline().strip() != "yes":
        raise Refused("not confirmed; nothing was written", hint="answer yes, the whole word")

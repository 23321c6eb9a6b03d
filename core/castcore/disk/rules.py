"""Rule files: which disk of a machine may take which disk of an image, demanded rather than guessed.

TOML, one ``[[disk]]`` table for each way a disk may be chosen; see docs/images.md, "Rules". The tables
of one image disk are tried in their order. The first that any candidate meets decides: one candidate
is the target, several are refused; when none is met, nothing is written. Pure: text in, rules out.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from castcore.disk.identity import described
from castcore.disk.layout import DiskFacts
from castcore.errors import Refused
from castcore.units import exactly, parse_size

KEYS = frozenset({"image_disk", "model", "bus", "serial", "wwn", "path", "min_size", "max_size"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a disk must be to take disk number ``image_disk`` of an image; "" and () demand nothing.

    ``model``, ``serial``, ``wwn`` and ``path`` (below /dev/disk/by-path) are shell patterns, upper and
    lower case alike; the disk's bus must be among ``bus``; sizes are bytes, both ends included, 0: any.
    """

    image_disk: int = 0
    model: str = ""
    bus: tuple[str, ...] = ()
    serial: str = ""
    wwn: str = ""
    path: str = ""
    min_size: int = 0
    max_size: int = 0

    def unmet(self, facts: DiskFacts) -> str:
        """What of the rule the disk does not meet, with both figures; "" when it meets it all."""
        if self.bus and facts.bus not in self.bus:
            return f"its bus is {facts.bus or 'unknown'}, not {' or '.join(self.bus)}"
        if facts.size < self.min_size:
            return f"it has {exactly(facts.size)}, at least {exactly(self.min_size)} are demanded"
        if self.max_size and facts.size > self.max_size:
            return f"it has {exactly(facts.size)}, at most {exactly(self.max_size)} are allowed"
        for name, pattern, values in self._patterns(facts):
            if pattern and not any(_matches(pattern, value) for value in values):
                return f"its {name} is {', '.join(filter(None, values)) or 'unknown'}, not {pattern}"
        return ""

    def _patterns(self, facts: DiskFacts) -> Iterable[tuple[str, str, tuple[str, ...]]]:
        places = tuple(n.removeprefix("by-path/") for n in facts.names if n.startswith("by-path/"))
        yield "model", self.model, (facts.model,)
        yield "serial", self.serial, (facts.serial,)
        yield "wwn", self.wwn, (facts.wwn,)
        yield "path", self.path, places


Rules = tuple[Rule, ...]


def parse_rules(text: str, name: str = "the rule file") -> Rules:
    """The rules that ``text`` spells. Raises Refused naming what is wrong in ``name``."""
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number that is too long, lists without end
        raise _wrong(name, str(error)) from None
    tables = value.pop("disk", [])
    if value or not isinstance(tables, list) or not tables:
        extra = f"; {', '.join(sorted(value))} has no meaning" if value else ""
        raise _wrong(name, f"it needs one or more [[disk]] tables{extra}")
    return tuple(_rule(table, f"{name}, [[disk]] {n}") for n, table in enumerate(tables, 1))


def chosen_by(rules: Rules, number: int, candidates: Iterable[DiskFacts]) -> DiskFacts:
    """The candidate that ``rules`` choose for disk ``number`` of an image.

    Raises Refused: no rule speaks of that disk, none is met (with what speaks against each disk), or
    several disks meet the one that decides.
    """
    seen, mine = tuple(candidates), [r for r in rules if r.image_disk == number]
    if not mine:
        raise Refused(
            f"no rule speaks of disk {number} of the image",
            hint=f"add a table with image_disk = {number}",
        )
    for rule in mine:
        met = [f for f in seen if not rule.unmet(f)]
        if len(met) == 1:
            return met[0]
        if met:
            listed = ", ".join(described(f) for f in met)
            raise Refused(
                f"{len(met)} disks meet the rule for disk {number} of the image: {listed}",
                hint="demand more, so that one disk meets it",
            )
    against = "; ".join(f"{described(f)}: {mine[-1].unmet(f)}" for f in seen)
    raise Refused(
        f"no disk meets the rules for disk {number} of the image"
        f"{': ' + against if against else ': there is no candidate'}",
        hint="change the rules, or connect the disk that is meant",
    )


def _rule(table: Any, name: str) -> Rule:
    if not isinstance(table, dict):
        raise _wrong(name, "it is no table")
    unknown = sorted(table.keys() - KEYS)
    if unknown:
        raise _wrong(name, f"{', '.join(unknown)} has no meaning; it may have {', '.join(sorted(KEYS))}")
    if not table.keys() - {"image_disk"}:
        raise _wrong(name, "it demands nothing, and so would take any disk")
    number = table.get("image_disk", 0)
    if type(number) is not int or number < 0:
        raise _wrong(name, f"image_disk is {number!r}, not a number from 0 on")
    return Rule(
        image_disk=number,
        bus=_buses(table, name),
        min_size=_size(table, "min_size", name),
        max_size=_size(table, "max_size", name),
        **{key: _pattern(table, key, name) for key in ("model", "serial", "wwn", "path")},
    )


def _buses(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get("bus", [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(v, str) and v for v in listed):
        raise _wrong(name, f"bus is {value!r}, not a text or a list of texts")
    return tuple(listed)


def _pattern(table: Mapping[str, Any], key: str, name: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (key in table and not value):
        raise _wrong(name, f"{key} is {value!r}, not a text")
    return value


def _size(table: Mapping[str, Any], key: str, name: str) -> int:
    value = table.get(key, 0)
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _wrong(name, f"{key}: {error}") from None
    if type(size) is not int or size < 0 or (key in table and size == 0):
        raise _wrong(name, f'{key} is {value!r}, not a size such as "500 GB"')
    return size


def _matches(pattern: str, value: str) -> bool:
    return fnmatch.fnmatchcase(value.lower(), pattern.lower())


def _wrong(name: str, why: str) -> Refused:
    return Refused(f"{name}: {why}", hint='docs/images.md, "Rules", shows such a file')

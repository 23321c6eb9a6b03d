"""Which driver a device gets: the kernel's alias tables, pure.

A device names itself by its ``modalias`` (all its ids in one string); a module claims devices by
patterns of such names (``modules.alias``; ``*``, ``?`` and ``[a-f]`` as in glob(7)).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Patterns begin with a bus and mostly a vendor: so far they are looked up, the rest is compared.
_HEAD = re.compile(r"(pci:v|usb:v)([0-9A-Fa-f]{8}|[0-9A-Fa-f]{4})(?![0-9A-Fa-f])")
_BUS = re.compile(r"[a-z]+:")


@dataclass(frozen=True, slots=True)
class Alias:
    """A pattern and the module it stands for."""

    pattern: str
    module: str


class AliasTable:
    """All aliases of a boot image, and the drivers built into its kernel."""

    def __init__(self, aliases: Iterable[Alias]) -> None:
        self._by_head: Mapping[str, list[tuple[re.Pattern[str], Alias]]] = defaultdict(list)
        self.size = 0
        for alias in aliases:
            self._by_head[_head(alias.pattern)].append((_compiled(alias.pattern), alias))
            self.size += 1

    def matching(self, modalias: str) -> tuple[Alias, ...]:
        """Every alias that fits ``modalias``, in the table's order within a vendor and without one."""
        bus = _BUS.match(modalias)
        heads = dict.fromkeys((_head(modalias), bus[0] if bus else ""))
        found = (pair for head in heads for pair in self._by_head.get(head, ()))
        return tuple(alias for shape, alias in found if shape.fullmatch(modalias))

    def modules(self, modalias: str) -> tuple[str, ...]:
        """The modules that claim a device named ``modalias``, each once."""
        return tuple(dict.fromkeys(alias.module for alias in self.matching(modalias)))

    def claiming(self, beginning: str) -> tuple[str, ...]:
        """The modules with an alias for a device whose name begins so (bus, vendor, product)."""
        aliases = self._by_head.get(_head(beginning), ())
        return tuple(dict.fromkeys(a.module for _, a in aliases if a.pattern.startswith(beginning)))


def parse_aliases(text: str) -> tuple[Alias, ...]:
    """``modules.alias`` (depmod(8)): lines ``alias PATTERN MODULE``."""
    rows = (line.split() for line in text.splitlines() if line.startswith("alias "))
    return tuple(Alias(row[1], row[2]) for row in rows if len(row) == 3)


def parse_builtin(data: bytes) -> tuple[Alias, ...]:
    """The aliases of ``modules.builtin.modinfo``: strings ``MODULE.alias=PATTERN``, zero-ended."""
    found = []
    for entry in data.decode(errors="replace").split("\0"):
        name, _, value = entry.partition("=")
        module, _, key = name.rpartition(".")
        if key == "alias" and _BUS.match(value):
            found.append(Alias(value, module))
    return tuple(found)


def _head(name: str) -> str:
    found = _HEAD.match(name)
    if found:
        return found[0].upper()
    bus = _BUS.match(name)
    return bus[0] if bus else ""


def _compiled(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: there "[!" negates, and case would be folded on some systems.
    parts = re.split(r"(\*|\?|\[[^]]*\])", pattern)
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(p, p if p.startswith("[") else re.escape(p)) for p in parts))

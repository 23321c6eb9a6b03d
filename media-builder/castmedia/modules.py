"""Which kernel modules go into the boot image: patterns and dependencies, pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

SUFFIX = re.compile(r"\.ko(\.(xz|zst|gz))?$")


def parse_dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """``modules.dep`` (modules.dep(5)): each module's path, and the paths of all modules it needs."""
    table: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        module, colon, needed = line.partition(":")
        if colon:
            table[module.strip()] = tuple(needed.split())
    return table


def select(
    dependencies: Mapping[str, Sequence[str]], patterns: Iterable[str], more: Iterable[str] = ()
) -> tuple[str, ...]:
    """The modules (paths as in ``dependencies``) that ``patterns`` name, those of ``more``, and all that
    they need, sorted.

    Patterns are tried in order against the path below ``kernel/`` without compression suffix; ``*``
    crosses no slash, ``**`` does, a leading ``!`` takes the matching modules away again.
    Raises ValueError for a pattern that matches nothing: a list that rots must not rot silently.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        shape = _shape(pattern.removeprefix("!"))
        matching = {path for path in dependencies if shape.fullmatch(_plain(path))}
        if not matching:
            raise ValueError(f"no kernel module matches {pattern!r}")
        chosen = chosen - matching if pattern.startswith("!") else chosen | matching
    chosen |= set(more)
    return tuple(sorted(chosen.union(*(dependencies[path] for path in chosen))))


def _plain(path: str) -> str:
    return SUFFIX.sub(".ko", path.removeprefix("kernel/"))


def _shape(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    words = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))

"""LVM's text metadata: sections, numbers, strings and lists (lvm.conf(5), "SYNTAX").

Only what a machine wrote is read: no floats in places that matter, no references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from castcore.errors import BadImage

Scalar: TypeAlias = int | str
Value: TypeAlias = "Scalar | list[Scalar] | Section"
Section: TypeAlias = dict[str, Value]

TOKEN = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z0-9_.+-][A-Za-z0-9_.+/-]*)
    | (?P<mark>[{}=\[\],])""",
    re.VERBOSE,
)
DEEPEST = 16
LONGEST_NUMBER = 24
CLOSE = "}"


def parse(text: str) -> Section:
    """The outermost section of ``text``. Raises BadImage when it is no such text."""
    tokens = _tokens(text)
    return _section(tokens, depth=0)


def section(parent: Section, name: str) -> Section:
    """The section ``name`` of ``parent``, empty when there is none. Raises BadImage."""
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise BadImage(f"LVM metadata: {name} is no section")
    return value


def number(parent: Section, name: str) -> int:
    """The number ``name`` of ``parent``. Raises BadImage."""
    value = parent.get(name)
    if not isinstance(value, int) or value < 0:
        raise BadImage(f"LVM metadata: {name} is no number")
    return value


def words(parent: Section, name: str) -> list[Scalar]:
    """The list ``name`` of ``parent``, empty when there is none. Raises BadImage."""
    value = parent.get(name, [])
    if isinstance(value, dict):
        raise BadImage(f"LVM metadata: {name} is no list")
    return value if isinstance(value, list) else [value]


def strings(value: Value) -> Iterator[str]:
    """Every string below ``value``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (v for v in value if isinstance(v, str))
    elif isinstance(value, dict):
        for below in value.values():
            yield from strings(below)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise BadImage(f"LVM metadata: not understood: {text[at : at + 20]!r}")
        at = found.end()
        if found.lastgroup:
            yield found.lastgroup, found[found.lastgroup]
    yield "end", ""


def _section(tokens: Iterator[tuple[str, str]], *, depth: int) -> Section:
    found: Section = {}
    for kind, name in tokens:
        if (kind, name) == ("mark", CLOSE) and depth:
            return found
        if kind == "end" and not depth:
            return found
        # A name may be all digits.
        if kind not in ("name", "number") or depth == DEEPEST:
            raise BadImage(f"LVM metadata: {name!r} where a name belongs")
        mark = next(tokens)[1]
        if mark == "{":
            found[name] = _section(tokens, depth=depth + 1)
        elif mark == "=":
            found[name] = _value(tokens)
        else:
            raise BadImage(f"LVM metadata: {mark!r} after {name!r}")
    raise BadImage("LVM metadata: it ends too early")


def _value(tokens: Iterator[tuple[str, str]]) -> Value:
    kind, text = next(tokens)
    if (kind, text) != ("mark", "["):
        return _scalar(kind, text)
    values: list[Scalar] = []
    for kind, text in tokens:
        if (kind, text) == ("mark", "]"):
            return values
        if (kind, text) != ("mark", ","):
            values.append(_scalar(kind, text))
    raise BadImage("LVM metadata: it ends too early")


def _scalar(kind: str, text: str) -> Scalar:
    if kind == "text":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if kind == "number" and len(text) <= LONGEST_NUMBER:
        return int(float(text)) if "." in text else int(text)
    raise BadImage(f"LVM metadata: {text!r} where a value belongs")

"""The audit log as values: what an entry says, the hash over it and all before it, what is not kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from castcore import canonical, trust

# Names of values that never get into the log, as parts of a body's keys.
SECRET_WORDS = ("password", "secret", "token", "key")
MASK = "***"
LONGEST_DETAIL = 1000
START = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody did something. ``outcome`` is "" when it was done, else why it was not."""

    number: int
    time: int
    who: str
    role: str
    address: str
    action: str
    detail: str
    outcome: str


def link(before: str, entry: Entry) -> str:
    """The chain's hash (BLAKE3, hex) at ``entry``, after one whose hash is ``before``."""
    return trust.digest(before.encode() + canonical.encode(asdict(entry))).hex()


def first_broken(before: str, entries: Iterable[tuple[Entry, str]]) -> int | None:
    """The number of the first entry that was changed or is missing; None: every one follows."""
    expected: int | None = None
    for entry, chain in entries:
        if expected is not None and entry.number != expected:
            return expected
        if link(before, entry) != chain:
            return entry.number
        before, expected = chain, entry.number + 1
    return None


def without_secrets(value: Any) -> Any:
    """``value`` (JSON values) with every secret in it masked."""
    if isinstance(value, dict):
        return {
            str(k): MASK
            if v and any(word in str(k).lower() for word in SECRET_WORDS)
            else without_secrets(v)
            for k, v in value.items()
        }
    return [without_secrets(inner) for inner in value] if isinstance(value, list) else value

"""What people say of a machine: its name, tags, groups and a note, and which words these can be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from castcore.errors import Refused

from castserver.casts.policy import boot_mac

LONGEST_NAME = 64
LONGEST_WORD = 64
LONGEST_NOTE = 500
MOST_WORDS = 50
# Between the words of one cell of a CSV file, and in no word.
BETWEEN = "|"
_ID = re.compile(r"m[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Card:
    """What people say of a machine. Tags and groups are sorted, each is there once."""

    name: str = ""
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    note: str = ""


NO_CARD = Card()


def key(word: str) -> str:
    """What two spellings of one word have in common: case, and full-width forms, make no difference."""
    return unicodedata.normalize("NFKC", word).casefold()


def is_id(text: str) -> bool:
    """Whether ``text`` looks like the id of a machine."""
    return _ID.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """``text`` as the name of a machine, "" for none. Raises Refused."""
    name = _plain("name", text, LONGEST_NAME)
    if "/" in name or is_id(name) or boot_mac(name):
        raise Refused(
            f"{name!r} cannot be a machine's name",
            hint="no slash, nothing that looks like an id or a MAC",
        )
    return name


def checked_words(what: str, words: Iterable[str]) -> tuple[str, ...]:
    """``words`` as the tags or groups (``what``) of a machine, each once. Raises Refused."""
    found: dict[str, str] = {}
    for text in words:
        word = _plain(what, text, LONGEST_WORD)
        if not word or BETWEEN in word or "," in word:
            raise Refused(
                f"{text[:80]!r} cannot be a {what}", hint=f"some letters, no comma and no {BETWEEN}"
            )
        found.setdefault(key(word), word)
    if len(found) > MOST_WORDS:
        raise Refused(f"a machine has at most {MOST_WORDS} {what}s")
    return tuple(sorted(found.values()))


def checked_note(text: str) -> str:
    """``text`` as a note: lines without spaces at the end of all. Raises Refused."""
    note = unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
    if len(note) > LONGEST_NOTE:
        raise Refused(f"a note has at most {LONGEST_NOTE} letters, this one {len(note)}")
    if not all(c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" for c in note):
        raise Refused("a note holds text and line breaks only, no other control characters")
    return note


def checked(card: Card) -> Card:
    """``card`` as it is kept. Raises Refused."""
    return Card(
        checked_name(card.name),
        checked_words("tag", card.tags),
        checked_words("group", card.groups),
        checked_note(card.note),
    )


def _plain(what: str, text: str, longest: int) -> str:
    """One line without spaces around it, each space within a single plain one. Raises Refused."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    if len(plain) > longest:
        raise Refused(f"a {what} has at most {longest} letters, this one {len(plain)}")
    if not plain.isprintable():
        raise Refused(f"a {what} is letters, not control characters: {plain[:80]!r}")
    return plain

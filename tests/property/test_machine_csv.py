"""Any register of machines reads back from its file as it was, and no file breaks the reading of it."""

from __future__ import annotations

from castcore.errors import Refused
from castserver.api.spreadsheet import guarded, unguarded
from castserver.machines.clients import Client
from castserver.machines.machinebook import entry
from castserver.machines.machinecard import (
    Card,
    checked,
    checked_name,
    checked_note,
    checked_words,
    is_id,
    key,
)
from castserver.machines.machinecsv import COLUMNS, DELIMITERS, read, write
from castserver.machines.machineentry import Identity, identity_of
from castserver.machines.machineid import usable_uuid
from castserver.machines.machineimport import Action, plan
from hypothesis import assume, given
from hypothesis import strategies as st

# Much of what spreadsheets, CSV and our own cells treat in a special way, and any other text.
TRICKY = "'=+-@|,;\"\t\r\n \u3000\uff1d\uff0b" + "a\u3042\u8868\u0301\u00e9"
TEXTS = st.one_of(st.text(TRICKY, max_size=12), st.text(max_size=12))
BYTES = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from(DELIMITERS), TEXTS, st.text(max_size=40)).map(
        lambda t: f"{t[0]}{t[1]}name\n{t[2]}{t[1]}{t[3]}\n".encode(errors="replace")
    ),
)


def accepted(text: str, checks: str) -> bool:
    try:
        if checks == "name":
            return checked_name(text) != ""
        if checks == "note":
            return checked_note(text) != ""
        return bool(checked_words("tag", [text]))
    except Refused:
        return False


NAMES = TEXTS.filter(lambda t: accepted(t, "name"))
NOTES = TEXTS.filter(lambda t: accepted(t, "note"))
WORDS = st.lists(TEXTS.filter(lambda t: accepted(t, "tag")), max_size=3).map(tuple)
UUIDS = st.uuids().map(str).filter(usable_uuid)


@st.composite
def machines(draw: st.DrawFn) -> list[Client]:
    """Entries that can stand beside each other."""
    found: list[Client] = []
    for number in range(draw(st.integers(0, 6))):
        uuid = draw(st.one_of(st.just(""), UUIDS))
        identity = Identity((f"52:54:00:00:01:{number:02x}",), uuid)
        card = checked(
            Card(
                draw(st.one_of(st.just(""), NAMES)), draw(WORDS), draw(WORDS), draw(st.just("") | NOTES)
            )
        )
        found.append(entry(f"m{number:08x}", identity, card))
    names = [key(c.card.name) for c in found if c.card.name]
    assume(len(names) == len(set(names)))
    uuids = [c.traits.uuid for c in found if c.traits.uuid]
    assume(len(uuids) == len(set(uuids)))
    return found


def exported(known: list[Client]) -> bytes:
    return write((c.id, identity_of(c.registration), c.card) for c in known)


@given(machines())
def test_an_export_changes_nothing_where_it_came_from(known: list[Client]) -> None:
    planned = plan(read(exported(known)), known, lambda _: False)
    assert planned.problems == ()
    assert [c.action for c in planned.changes] == [Action.SAME] * len(known)


@given(machines())
def test_an_export_makes_the_same_register_elsewhere(known: list[Client]) -> None:
    planned = plan(read(exported(known)), [], lambda _: False)
    assert planned.problems == ()
    made = [entry(c.id, c.identity, c.card) for c in planned.changes]
    assert [(m.id, m.card, m.traits) for m in made] == [(k.id, k.card, k.traits) for k in known]
    assert exported(made) == exported(known)


@given(TEXTS)
def test_a_guarded_cell_is_no_formula_and_reads_back(cell: str) -> None:
    shown = guarded(cell)
    assert unguarded(shown) == cell
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"))


@given(BYTES, machines())
def test_no_file_breaks_the_plan_or_names_what_cannot_be(data: bytes, known: list[Client]) -> None:
    planned = plan(read(data), known, lambda _: False)
    for change in planned.changes:
        assert checked(change.card) == change.card
        assert change.client in (None, *known)
    if not planned.problems:
        owners = {c.id: c.card.name for c in known} | {
            c.id or f"new {c.line}": c.card.name for c in planned.changes
        }
        names = [key(name) for name in owners.values() if name]
        assert len(names) == len(set(names))


@given(TEXTS)
def test_a_checked_name_stays_as_it_is(text: str) -> None:
    assume(accepted(text, "name"))
    name = checked_name(text)
    assert checked_name(name) == name
    assert not is_id(name)
    assert "\n" not in name

"""Power cuts at every sector of every write of a ledger: what is found is the state before or after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from castcore.errors import FleetcastError, NotFound, Untrusted
from castcore.licence import SIZE, Ledger, NoLicence, Step, Use, Write, fresh_ledger, is_ledger
from castcore.licence.layout import BLOCK, RECORD_SIZE, RECORD_SLOTS, record_at
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faultyledger import (
    SECTOR,
    FaultyBlocks,
    PowerCut,
    apply,
    ledger_on,
    licence,
    new_medium,
    opened,
    state,
)

USES = [Use("c1", f"m{number}") for number in range(9)]
PIECES = RECORD_SIZE // SECTOR


def life() -> Iterator[tuple[bytes, Ledger, Step]]:
    """A life longer than the ring of records: the medium before each change, and the change."""
    medium = new_medium().data
    changes = [
        lambda ledger: ledger.import_licence(licence(1, 5), 1),
        lambda ledger: ledger.import_licence(licence(2, 90, product="lab"), 2),
        *(lambda ledger, use=use: ledger.reserve(use, "lab", 3) for use in USES),
        lambda ledger: ledger.release(USES[0], now=4),
        lambda ledger: ledger.consume(*USES[1:4], now=5),
        *(lambda ledger, use=use: ledger.consume(use, now=6) for use in USES[4:]),
        lambda ledger: ledger.reserve(USES[0], "lab", 7),
        lambda ledger: ledger.release_others([], 8),
        lambda ledger: ledger.import_licence(licence(3, 7), 9),
    ]
    for change in changes:
        ledger = opened(medium)
        step: Step = change(ledger)  # type: ignore[no-untyped-call]
        assert step.writes
        yield bytes(medium), ledger, step
        apply(medium, step.writes)
    assert opened(medium).sequence == len(changes) > RECORD_SLOTS


def torn(write: Write) -> Iterator[FaultyBlocks]:
    """The ways in which one write is cut: so many sectors from the front, the rear half, every other."""
    sectors = len(write.data) // SECTOR
    for number in range(sectors + 1):
        yield FaultyBlocks(cut=0, kept=range(number), garbage=[number])
    for kept in (range(sectors // 2, sectors), range(0, sectors, 2), range(1, sectors, 2)):
        yield FaultyBlocks(cut=0, kept=kept)


def after_cut(data: bytes | bytearray, write: Write, cut: FaultyBlocks) -> bytearray:
    blocks = FaultyBlocks(bytearray(data), cut.cut, cut.kept, cut.garbage)
    with pytest.raises(PowerCut):
        blocks.write(write.offset, write.data)
    return blocks.data


def test_a_cut_at_any_sector_of_any_write_leaves_the_state_before_or_after() -> None:
    cuts = repaired = 0
    for medium, before, step in life():
        data = bytearray(medium)
        for number, write in enumerate(step.writes):
            for cut in torn(write):
                found = opened(torn_data := after_cut(data, write, cut))
                cuts += 1
                # The last two writes are the record: with the first of them whole, it has happened.
                happened = state(found) == state(step.ledger)
                assert happened or state(found) == state(before)
                if number != len(step.writes) - 2:
                    assert happened == (number == len(step.writes) - 1)
                repaired += bool(found.repairs)
                apply(torn_data, found.repairs)
                assert opened(torn_data).repairs == ()
                assert state(opened(torn_data)) == state(found)
            apply(data, [write])
    assert repaired > cuts / 8
    assert cuts > 1500


def test_a_cut_while_a_cut_is_repaired_changes_nothing() -> None:
    for medium, _, step in life():
        data = bytearray(medium)
        apply(data, step.writes[:-1])
        found = opened(data)
        (repair,) = found.repairs
        for cut in torn(repair):
            again = opened(after_cut(data, repair, cut))
            assert state(again) == state(found) == state(step.ledger)


def test_a_torn_record_is_written_over_by_the_next_change() -> None:
    for medium, _before, step in life():
        record = step.writes[-2]
        data = after_cut(medium, record, FaultyBlocks(cut=0, kept=range(7)))
        ledger = opened(data)
        again = ledger.reserve(Use("c2", "late"), "lab", 20) if ledger.licences else None
        if again is not None:
            apply(data, again.writes)
            assert state(opened(data)) == state(again.ledger)
            assert opened(data).repairs == ()


def test_format_cut_anywhere_leaves_no_ledger_or_a_whole_one() -> None:
    whole = new_medium()
    writes = fresh_ledger(bytes(range(16)))
    for number, write in enumerate(writes):
        step = max(1, len(write.data) // SECTOR // 40)
        for kept in range(0, len(write.data) // SECTOR + 1, step):
            blocks = FaultyBlocks(bytearray(SIZE), number, range(kept))
            with suppress(PowerCut):
                for one in writes:
                    blocks.write(one.offset, one.data)
            assert blocks.dead
            data = bytes(blocks.data)
            if is_ledger(data[: SIZE // 2], data[SIZE // 2 :]):
                assert state(opened(data)) == state(opened(whole.data))
            else:
                with pytest.raises(NotFound):
                    opened(data)


OPS = st.tuples(
    st.sampled_from(["reserve", "reserve", "consume", "release", "import"]), st.integers(0, 8)
)
CUT = st.tuples(
    st.integers(0, 3), st.sets(st.integers(0, PIECES - 1)), st.sets(st.integers(0, PIECES - 1))
)


@settings(max_examples=60)
@given(st.lists(st.tuples(OPS, st.none() | CUT), min_size=5, max_size=40))
def test_whatever_happens_licences_are_neither_lost_nor_won(
    life: list[tuple[tuple[str, int], tuple[int, set[int], set[int]] | None]],
) -> None:
    """Any changes and cuts: counts are a plain model's; a change that was cut happened or not."""
    blocks = new_medium()
    model: dict[str, set[Use]] = {"reserved": set(), "consumed": set()}
    bought = 0
    for (op, number), cut in life:
        use = USES[number]
        if cut is not None:
            blocks = FaultyBlocks(blocks.data, *cut)
        with suppress(NoLicence, NotFound, PowerCut), ledger_on(blocks) as file:
            match op:
                case "reserve":
                    file.reserve(use, "any")
                case "consume":
                    file.consume(use)
                case "release":
                    file.release(use)
                case _:
                    file.import_licence(licence(number + 1, 2))
        blocks = blocks.again()
        ledger = ledger_on(blocks).ledger
        balances = ledger.balances()
        bought = sum(b.licence.count for b in balances)
        assert all(b.left >= 0 for b in balances)
        _advance(model, op, use, ledger)
        assert sum(b.reserved for b in balances) == len(model["reserved"])
        assert sum(b.consumed for b in balances) == model_count(model)
        assert sum(b.left for b in balances) == bought - len(model["reserved"]) - model_count(model)


def model_count(model: dict[str, set[Use]]) -> int:
    return len(model["consumed"])


def _advance(model: dict[str, set[Use]], op: str, use: Use, ledger: Ledger) -> None:
    """Take into the model what the change did, if it did: all else must be as it was."""
    kept = use.key in ledger.record.reservations
    was = use in model["reserved"]
    model["reserved"].discard(use)
    if kept:
        model["reserved"].add(use)
        assert was or op == "reserve"
    elif was:
        assert op in ("consume", "release")
        if op == "consume":
            model["consumed"].add(Use(use.cast, f"{use.machine} {ledger.sequence}"))


@settings(max_examples=150)
@given(
    st.integers(0, SIZE - 1), st.integers(1, 255), st.booleans(), st.sampled_from([1, 64, SECTOR, BLOCK])
)
def test_a_change_from_outside_never_makes_a_licence(
    at: int, flip: int, both: bool, length: int
) -> None:
    medium, _, step = WHOLE
    data = bytearray(medium)
    apply(data, step.writes)
    honest = opened(data)
    half = SIZE // 2
    for start in (at % half, at % half + half) if both else (at,):
        for place in range(start, min(start + length, SIZE)):
            data[place] ^= flip
    try:
        found = opened(data)
    except (Untrusted, NotFound):
        return
    assert state(found) == state(honest)


WHOLE = list(life())[-1]


def test_an_older_record_put_back_is_seen() -> None:
    medium, before, _ = WHOLE
    old = list(life())[-3][0]
    for back in (1, 2):
        data = bytearray(medium)
        for copy in (0, SIZE // 2):
            at = copy + record_at(before.sequence - back + 1)
            data[at : at + RECORD_SIZE] = bytes(RECORD_SIZE)
        with pytest.raises(Untrusted):
            opened(data)
    # The whole medium put back is a ledger like any other: only who remembers a later one can tell.
    assert opened(old).sequence == before.sequence - 2


@given(st.binary(max_size=200), st.integers(0, SIZE - 200))
def test_rubbish_is_no_ledger(rubbish: bytes, at: int) -> None:
    data = bytearray(SIZE)
    data[at : at + len(rubbish)] = rubbish
    with pytest.raises(FleetcastError):
        opened(data)

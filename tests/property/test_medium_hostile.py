"""Tables and medium.json from strangers' sticks: told apart or refused, never a surprise."""

from __future__ import annotations

from contextlib import suppress

from castcore.disk import Partition, parse_gpt, primary_from_backup
from castcore.errors import BadImage
from castcore.medium import MediumKind, Role, medium_kind, parse_info, recognise
from castcore.medium.layout import BIOS_BOOT, EFI_SYSTEM, LEDGER_TYPE
from hypothesis import given
from hypothesis import strategies as st

TYPES = st.sampled_from([BIOS_BOOT, EFI_SYSTEM, LEDGER_TYPE, "0fc63daf-8483-4772-8e79-3d69d8477de4"])
PARTITIONS = st.builds(
    Partition,
    number=st.integers(1, 128),
    start=st.integers(0, 1 << 40),
    length=st.integers(0, 1 << 40),
    type=TYPES,
    name=st.sampled_from([*Role, "", "EFI"]),
)


@given(st.binary(max_size=6000))
def test_any_bytes_as_medium_json(data: bytes) -> None:
    with suppress(BadImage):
        parse_info(data)


@given(st.lists(PARTITIONS, max_size=8))
def test_any_partitions_have_one_answer(partitions: list[Partition]) -> None:
    found = recognise(partitions)
    assert (found is not None) == (medium_kind(partitions) is MediumKind.DEPLOY)
    if found is not None:
        assert {found.bios, found.boot, found.ledger, found.data} <= set(partitions)


@given(st.binary(max_size=3000), st.sampled_from([512, 4096]), st.binary(max_size=600))
def test_any_bytes_as_a_backup_table(before: bytes, sector: int, last: bytes) -> None:
    with suppress(BadImage):
        parse_gpt(
            primary_from_backup(before + b"EFI PART" + last.ljust(sector - 8, b"\0"), sector), sector
        )

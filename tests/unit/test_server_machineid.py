from __future__ import annotations

import dataclasses

import pytest
from castcore.control import Nic
from castserver.machines.machineid import (
    Traits,
    find_at_boot,
    find_machine,
    same_machine,
    traits,
    usable_serial,
    usable_uuid,
)

from tests.support.serverlab import registration

UUID = "8f7d7a3e-1c5b-4a2f-9d3c-000000000001"
OTHER = "8f7d7a3e-1c5b-4a2f-9d3c-000000000002"
SWAPPED = "3e7a7d8f-5b1c-2f4a-9d3c-000000000001"


def seen(**fields: object) -> Traits:
    base = Traits("", "", "", "acme", frozenset({"52:54:00:00:00:01"}), frozenset({"wwn-1"}))
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a uuid",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "\ud800",
    ],
)
def test_a_placeholder_is_no_uuid(text: str) -> None:
    assert usable_uuid(text) == ""


def test_a_uuid_is_compared_in_lower_case() -> None:
    assert usable_uuid(f" {UUID.upper()} ") == UUID


@pytest.mark.parametrize("text", ["", "To Be Filled By O.E.M.", "Default string", "0000000", "None "])
def test_a_placeholder_is_no_serial(text: str) -> None:
    assert usable_serial(text) == ""


def test_equal_uuids_are_one_machine_whatever_was_swapped_inside() -> None:
    assert same_machine(
        seen(uuid=UUID), seen(uuid=UUID, macs=frozenset({"aa"}), disks=frozenset({"new"}), model="b")
    )


def test_one_uuid_on_a_batch_is_told_apart_by_serials() -> None:
    assert not same_machine(seen(uuid=UUID, serial="A1"), seen(uuid=UUID, serial="A2"))
    assert not same_machine(seen(uuid=UUID, board_serial="B1"), seen(uuid=UUID, board_serial="B2"))


def test_a_mac_alone_never_merges() -> None:
    assert not same_machine(seen(uuid=UUID), seen(uuid=OTHER))
    assert not same_machine(seen(uuid=UUID), seen())
    assert not same_machine(seen(), seen(disks=frozenset({"wwn-2"})))
    assert not same_machine(seen(disks=frozenset()), seen(disks=frozenset()))


def test_a_new_mac_never_splits() -> None:
    assert same_machine(seen(serial="A1"), seen(serial="A1", macs=frozenset({"aa"})))


def test_without_dmi_a_disk_and_a_mac_together_are_the_machine() -> None:
    assert same_machine(seen(), seen())
    assert not same_machine(seen(), seen(macs=frozenset({"aa"})))


def test_a_serial_counts_only_within_one_model() -> None:
    assert not same_machine(seen(serial="1"), seen(serial="1", model="another"))


def test_find_machine_names_the_known_one() -> None:
    known = [("m1", traits(registration(1))), ("m2", traits(registration(2)))]
    assert find_machine(known, traits(registration(2))) == "m2"
    assert find_machine(known, traits(registration(3))) is None


def test_a_firmware_is_known_by_its_uuid_in_either_byte_order() -> None:
    known = [("m1", traits(registration(1)))]
    assert find_at_boot(known, "anything", UUID) == "m1"
    assert find_at_boot(known, "anything", SWAPPED) == "m1"
    assert find_at_boot(known, "52:54:00:00:00:01", OTHER) is None


def test_a_firmware_without_uuid_is_known_by_mac_only_among_machines_without_one() -> None:
    plain = registration(1, uuid="")
    assert find_at_boot([("m1", traits(plain))], "52:54:00:00:00:01", "") == "m1"
    assert find_at_boot([("m1", traits(registration(1)))], "52:54:00:00:00:01", "") is None


def test_macs_are_compared_in_lower_case() -> None:
    upper = dataclasses.replace(registration(1, uuid=""), nics=(Nic("eth0", "52:54:00:AA:00:01"),))
    assert find_at_boot([("m1", traits(upper))], "52:54:00:Aa:00:01", "") == "m1"

"""Control messages survive the wire; anything else is a BadPacket."""

from __future__ import annotations

from typing import Any

import pytest
from castcore.control import (
    AfterCast,
    ClientState,
    Device,
    Machine,
    Nic,
    Order,
    OrderKind,
    Registered,
    Registration,
    Report,
)
from castcore.disk import DiskFacts, DiskLayout, Partition, TableType, Taken
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st

LAYOUT = DiskLayout(
    1 << 30, 512, TableType.GPT, "ab", (Partition(1, 1 << 20, 1 << 20, taken=Taken.USED),)
)
MESSAGES = [
    Registration(
        Machine("u-1", memory=1 << 30),
        (Nic("eth0", "52:54:00:00:00:01", addresses=("192.0.2.1/24",)),),
        (
            DiskFacts("/dev/vda", "id-1", 1 << 30, 512, layout=LAYOUT),
            DiskFacts("/dev/vdb", "id-2", 5, 512),
        ),
        "0.1.0",
        (Device("0000:00:1f.6", "pci:v00008086d000015BBsv*", "e1000e"),),
    ),
    Registered("c1", "secret"),
    Order(3, OrderKind.CAST, "k", AfterCast.STAY),
    Report(ClientState.RECEIVING, done=1, total=2, logs=("a", "b")),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_survive_the_wire(message: Any) -> None:
    assert type(message).from_json(message.to_json()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
@given(data=st.data())
def test_a_damaged_message_is_a_bad_packet(message: Any, data: st.DataObject) -> None:
    spelled = message.to_json()
    spelled[data.draw(st.sampled_from(sorted(spelled)))] = data.draw(json_values)
    for value in (spelled, data.draw(json_values)):
        try:
            parsed = type(message).from_json(value)
        except BadPacket:
            continue
        assert type(message).from_json(parsed.to_json()) == parsed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("done", -1),
        ("done", True),
        ("done", 1 << 64),
        ("state", "asleep"),
        ("logs", "abc"),
        ("logs", [1]),
        ("x", 1),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(field: str, value: Any) -> None:
    spelled = Report(ClientState.DONE).to_json() | {field: value}
    with pytest.raises(BadPacket, match=field if field != "x" else "fields of Report"):
        Report.from_json(spelled)

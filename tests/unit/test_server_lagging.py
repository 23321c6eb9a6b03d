from __future__ import annotations

from dataclasses import replace

import pytest
from castcore.cast.states import ClientClass
from castcore.cast.status import ClientStatus
from castserver.casts.lagging import Lag, laggards

K = ClientClass
WELL = ClientStatus("well", K.OK, 100, 0.5, 9.0, 50, 100, 50_000, 0, 0, 0, done=False, interface="eth1")
ROOM = [replace(WELL, client=f"m{n}") for n in range(5)]


@pytest.mark.parametrize(
    ("changed", "lag"),
    [
        ({}, None),
        ({"have": 0.46}, None),
        ({"kind": K.DONE, "have": 1.0, "done": True}, None),
        # What is done is done, however it got there.
        ({"kind": K.DONE, "have": 1.0, "done": True, "net_lost": 20_000}, None),
        ({"kind": K.GONE}, Lag.SILENT),
        ({"kind": K.DISK_SLOW}, Lag.DISK),
        ({"kind": K.NET_SLOW}, Lag.NETWORK),
        ({"kind": K.UNICAST}, Lag.UNICAST),
        # Loss that it makes up for is its network's matter, loss that holds it back is ours.
        ({"net_lost": 1_000}, None),
        ({"net_lost": 1_000, "have": 0.3}, Lag.NETWORK),
        ({"net_lost": 5_000}, Lag.NETWORK),
        ({"host_drop": 1_000, "have": 0.3}, Lag.HOST),
        ({"host_drop": 5_000, "net_lost": 4_000}, Lag.HOST),
        ({"shed_blocks": 9, "have": 0.3}, Lag.DISK),
        ({"shed_blocks": 9}, None),
        ({"received": 20_000, "have": 0.1}, Lag.LATE),
        ({"received": 20_000, "have": 0.5}, None),
        ({"have": 0.3}, Lag.UNKNOWN),
        # Too few packets to speak of a share.
        ({"received": 100, "net_lost": 90, "have": 0.1}, Lag.LATE),
    ],
)
def test_why_one_of_a_room_falls_behind(changed: dict[str, object], lag: Lag | None) -> None:
    odd = replace(WELL, client="odd", **changed)  # type: ignore[arg-type]
    assert laggards([*ROOM, odd]) == ({} if lag is None else {"odd": lag})


def test_nobody_falls_behind_alone() -> None:
    assert laggards([]) == {}
    assert laggards([replace(WELL, have=0.0, received=0)]) == {}


def test_who_lags_is_measured_by_the_middle_one() -> None:
    slow = [replace(WELL, client=f"m{n}", have=0.2) for n in range(2)]
    fast = [replace(WELL, client=f"f{n}", have=0.9) for n in range(3)]
    assert laggards([*slow, *fast]) == {"m0": Lag.UNKNOWN, "m1": Lag.UNKNOWN}
    # Those that are gone do not count: a room that was switched off leaves nobody behind.
    gone = [replace(one, kind=K.GONE) for one in fast]
    assert laggards([*slow, *gone]) == {f"f{n}": Lag.SILENT for n in range(3)}


def test_each_network_has_its_own_packets() -> None:
    other = [replace(WELL, client=f"o{n}", interface="eth2", received=1_000, have=0.4) for n in range(2)]
    assert set(laggards([*ROOM, *other]).values()) == {Lag.UNKNOWN}
    late = replace(other[0], client="late", received=500)
    assert laggards([*ROOM, *other, late])["late"] is Lag.LATE

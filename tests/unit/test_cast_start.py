"""The first moments of a cast: the last to join starts it, and must not miss what comes first."""

from __future__ import annotations

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import SETTLE_SECONDS
from castcore.cast.messages import Feedback, FeedbackFlag
from castcore.cast.outputs import Control, SourceBurst, Wait
from castcore.cast.sender import SenderCore
from castcore.cast.states import ClientClass
from castcore.trust import SigningKey

STEP = 0.001


def first_data(core: SenderCore, begun: float) -> tuple[float, int]:
    """Seconds until the first data leaves, and how many control datagrams left before."""
    spoken = 0
    for step in range(1000):
        out = core.next_tx(begun + step * STEP)
        if isinstance(out, SourceBurst):
            return step * STEP, spoken
        spoken += isinstance(out, Control)
    raise AssertionError("no data")


def sender() -> SenderCore:
    table = BlockTable.build([1 << 20] * 8)
    return SenderCore(table, 7, SigningKey.generate(), bytes(32), 100e6)


def test_data_waits_for_who_has_just_joined_the_beacon_does_not() -> None:
    core = sender()
    core.join(10.0, "pc1", bytes(32))
    core.start(10.0)
    waited, spoken = first_data(core, 10.0)
    assert SETTLE_SECONDS <= waited <= SETTLE_SECONDS + 2 * STEP
    assert spoken >= 1


def test_who_has_spoken_is_not_waited_for() -> None:
    core = sender()
    numbers = [core.join(10.0, name, bytes(32)).client_number for name in ("pc1", "pc2")]
    core.start(10.0)
    for step, number in enumerate(numbers, 1):
        while not isinstance(out := core.next_tx(10.0 + step * STEP), Wait):
            assert isinstance(out, Control)
        word = Feedback(number, 7, 1, ClientClass.OK, FeedbackFlag(0), 0, 0, 0, 0, 0, 0, 0, 0, 0)
        core.on_client(10.0 + step * STEP, word)
    assert first_data(core, 10.0 + 3 * STEP)[0] <= 2 * STEP


def test_where_nobody_has_joined_nothing_is_waited_for() -> None:
    core = sender()
    core.start(10.0)
    assert first_data(core, 10.0)[0] <= 2 * STEP

"""How a cast travels: by unicast alone nothing goes to the group; by multicast alone nobody is moved."""

from __future__ import annotations

import pytest
from castcore.cast.blocks import BlockTable
from castcore.cast.messages import Feedback, FeedbackFlag, Fin
from castcore.cast.outputs import ParityBurst, SourceBurst, Wait
from castcore.cast.sender import SenderCore
from castcore.cast.states import ClientClass, SenderState, Transport
from castcore.trust import SigningKey

ROOT, SESSION = bytes(32), 7


def sender(transport: Transport) -> SenderCore:
    table = BlockTable.build([1 << 20] * 40)
    return SenderCore(table, SESSION, SigningKey.generate(), ROOT, 100e6, transport=transport)


def sent(core: SenderCore, begun: float, seconds: float) -> int:
    """Data bursts that leave in a stretch of time."""
    data, now = 0, begun
    while now < begun + seconds:
        out = core.next_tx(now)
        data += isinstance(out, SourceBurst | ParityBurst)
        now += out.seconds if isinstance(out, Wait) else 1e-6
    return data


def test_by_unicast_nothing_goes_to_the_group_and_the_cast_ends_with_its_last_client() -> None:
    core = sender(Transport.UNICAST)
    number = core.join(0.0, "pc1", bytes(32)).client_number
    core.start(0.0)
    for step in range(1, 30):
        assert sent(core, step - 1.0, 1.0) == 0
        word = Feedback(
            number, SESSION, step, ClientClass.UNICAST, FeedbackFlag(0), 0, 0, 0, 0, 0, 0, 0, 0, step
        )
        core.on_client(float(step), word)
    assert core.status().state is SenderState.TAIL
    assert core.unicast_speed() == 100e6
    assert core.on_client(30.0, Fin(number, SESSION, 99, ROOT)) is not None
    sent(core, 30.0, 2.0)
    assert core.status().state is SenderState.CLOSED


@pytest.mark.parametrize(("transport", "moved"), [(Transport.AUTO, True), (Transport.MULTICAST, False)])
def test_by_multicast_alone_nobody_is_moved_for_his_link(transport: Transport, *, moved: bool) -> None:
    core = sender(transport)
    numbers = [core.join(0.0, name, bytes(32)).client_number for name in ("bad", "good", "fine")]
    core.start(0.0)
    answers = []
    for step in range(1, 20):
        sent(core, step * 0.25, 0.25)
        for number in numbers:
            lost = step * 1000 if number == numbers[0] else 0
            word = Feedback(
                *(number, SESSION, step, ClientClass.OK, FeedbackFlag(0), 0, 0),
                *(step * 2000, step * 2000 - lost, lost, 0, 0, 0, 0),
            )
            answers.append(core.on_client(step * 0.25 + 0.2, word))
    assert any(answers) is moved

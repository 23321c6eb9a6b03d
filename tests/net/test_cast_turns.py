"""Chunks by unicast are for those who have joined the sender that is asked."""

from __future__ import annotations

import pytest
from castcore.edge.cast.sender import CastSender, SenderSettings
from castcore.errors import Busy, InUse
from castcore.trust import SigningKey, digest

from tests.support.castpeer import INDEX, SeededSource

pytestmark = pytest.mark.root


def test_who_joined_a_sender_before_a_restart_is_sent_back_to_join() -> None:
    settings = SenderSettings("lo", "239.192.70.200", 17100, 0, peers=False)
    source, key = SeededSource(4), SigningKey.generate()
    root = digest(INDEX)
    senders = [
        CastSender(
            source,
            name="seeded",
            root=root,
            manifest=b"manifest",
            index=INDEX,
            key=key,
            settings=settings,
        )
        for _ in range(2)
    ]
    before, after = senders
    try:
        before.join("pc1")
        with pytest.raises(Busy, match="has not begun"):
            before.turn("pc1", 0)
        before.start()
        assert before.turn("pc1", 0) >= 0
        with pytest.raises(InUse, match="does not know you"):
            after.turn("pc1", 0)
        after.join("pc1")
        after.start()
        after.pause(paused=True)
        with pytest.raises(Busy, match="is paused"):
            after.turn("pc1", 0)
        after.pause(paused=False)
        assert after.turn("pc1", 0) >= 0
    finally:
        for sender in senders:
            sender.stop()

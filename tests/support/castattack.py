"""Somebody in the network of a cast in memory: hears every datagram, and sends whatever he likes.

He knows the protocol, the session and where the sender is, and his datagrams arrive before the true
ones. He has no key, except (``insider``) that of a client of his own.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum, auto

import numpy as np
from castcore.cast import messages, wire
from castcore.cast.data import FLAG_PARITY, FLAG_REPAIR, HEADER, datagram
from castcore.cast.outputs import ParityBurst, SourceBurst
from castcore.cast.states import ClientClass, SenderState
from castcore.trust import SigningKey

from tests.support.castimage import Image
from tests.support.castsim import KEY, ROOT, SESSION, Sim, SimClient

OLD_SESSION = 0xB0FFEE
OLD_KEY = SigningKey(b"o" * 32)
KEPT = 200


class Trick(Enum):
    """What he does, each time a burst leaves the sender."""

    POISON = auto()
    POISON_PARITY = auto()
    FAR_BLOCKS = auto()
    FAR_NUMBERS = auto()
    REPLAY = auto()
    OLD_SESSION = auto()
    CONTROL = auto()
    FEEDBACK = auto()


class HostileSim(Sim):
    """A cast with an attacker who uses ``tricks`` on every ``every``-th burst until ``until``."""

    def __init__(
        self,
        image: Image,
        tricks: frozenset[Trick],
        *,
        seed: int = 1,
        cap: float = 100e6,
        every: int = 3,
        until: float = 60.0,
    ) -> None:
        super().__init__(image, seed=seed, cap=cap)
        self.tricks, self.every, self.until = tricks, every, until
        self.forger = random.Random(seed + 1)
        self.sent_forged = 0
        self._heard: deque[bytes] = deque(maxlen=KEPT)
        self._said: deque[bytes] = deque(maxlen=KEPT)
        self._bursts = 0
        self._poisoned: set[int] = set()

    # -- what he hears

    def _carry(self, now: float, client: SimClient, packet: bytes) -> None:
        if client is self.clients[0]:
            self._heard.append(packet)
        super()._carry(now, client, packet)

    def to_server(self, now: float, client: SimClient, packet: bytes) -> None:
        self._said.append(packet)
        super().to_server(now, client, packet)

    def _datagrams(self, burst: SourceBurst | ParityBurst) -> bytes:
        self._bursts += 1
        if self.now < self.until and self._bursts % self.every == 0:
            for trick in sorted(self.tricks, key=lambda t: t.value):
                getattr(self, f"_{trick.name.lower()}")(burst)
        return super()._datagrams(burst)

    # -- what he does

    def _poison(self, burst: SourceBurst | ParityBurst) -> None:
        """A symbol of this block that has yet to be sent: it takes the true one's place."""
        count = int(self.image.table.symbols[burst.block])
        stripes = int(self.image.table.stripes[burst.block])
        index = count - 1 - self.forger.randrange(min(count, 40))
        self._forge(burst.block, index % stripes, index // stripes, burst.pseq)

    def _poison_parity(self, burst: SourceBurst | ParityBurst) -> None:
        stripe = self.forger.randrange(int(self.image.table.stripes[burst.block]))
        row = 192 + self.forger.randrange(64)
        self._forge(burst.block, stripe, row, burst.pseq, FLAG_PARITY | FLAG_REPAIR)

    def _far_blocks(self, burst: SourceBurst | ParityBurst) -> None:
        self._forge(self.forger.randrange(len(self.image.table)), 0, 0, burst.pseq)

    def _far_numbers(self, burst: SourceBurst | ParityBurst) -> None:
        """The true first symbol of the block, with a packet number from elsewhere."""
        leap = self.forger.choice([50_000, 1_000_000, -1_000_000, 1 << 31])
        packet = bytearray(self._forged(burst.block, 0, 0, burst.pseq + leap, 0))
        packet[HEADER.itemsize :] = self.image.block(self.image.table, burst.block)[0].tobytes()
        self._to_all(bytes(packet))

    def _replay(self, _: SourceBurst | ParityBurst) -> None:
        self._to_all(self.forger.choice(self._heard)) if self._heard else None
        self._to_sender(self.forger.choice(self._said)) if self._said else None

    def _old_session(self, _: SourceBurst | ParityBurst) -> None:
        """Everything from the sender that was here before, by its own key."""
        old = np.frombuffer(self._forged(0, 0, 0, 0, 0), datagram(self.image.symbol_size)).copy()
        old["header"]["session"] = OLD_SESSION
        self._to_all(old.tobytes())
        for session in (OLD_SESSION, SESSION):
            self._to_all(wire.encode_abort(messages.Abort(session), OLD_KEY))
            self._to_all(wire.encode_beacon(self._beacon(session), OLD_KEY))
            for client in range(4):
                self._to_all(wire.encode_fin_ack(messages.FinAck(client, session, 1), OLD_KEY))

    def _control(self, _: SourceBurst | ParityBurst) -> None:
        """True control with another content, and content with a signature from elsewhere."""
        heard = [p for p in self._heard if p[0] != 0x11]
        if not heard:
            return
        torn = bytearray(self.forger.choice(heard))
        torn[self.forger.randrange(len(torn))] ^= 1 << self.forger.randrange(8)
        self._to_all(bytes(torn))
        signature = heard[-1][-64:]
        for made in (
            wire.encode_abort(messages.Abort(SESSION), KEY),
            wire.encode_beacon(self._beacon(SESSION), KEY),
            wire.encode_fin_ack(messages.FinAck(self.forger.randrange(4), SESSION, 1), KEY),
        ):
            self._to_all(made[:-64] + signature)
        self._to_all(self.forger.randbytes(self.forger.randrange(1, 1400)))

    def _feedback(self, _: SourceBurst | ParityBurst) -> None:
        """Words of another client: by our own key, and true ones with another number or content."""
        victim = self.forger.randrange(1, 4)
        fake = messages.Feedback(
            *(victim, SESSION, 1 << 30, ClientClass.OK, messages.FeedbackFlag(0), 0, 0),
            *(self.forger.randrange(1 << 32), 0, 1 << 20, 1 << 20, 0, 0, 0),
            nacks=(messages.StripeCounts(0, bytes([64]) * int(self.image.table.stripes[0])),),
        )
        holes = messages.Bitmap(victim, SESSION, 1 << 30, ClientClass.OK, 1 << 20, 0, 64, b"\xff" * 8)
        for own in (b"\x04" * 32, bytes(32)):
            self._to_sender(wire.encode_feedback(fake, own))
            self._to_sender(wire.encode_bitmap(holes, own))
            self._to_sender(wire.encode_fin(messages.Fin(victim, SESSION, 1 << 30, ROOT), own))
        if self._said:
            torn = bytearray(self.forger.choice(self._said))
            torn[self.forger.randrange(len(torn))] ^= 1 << self.forger.randrange(8)
            self._to_sender(bytes(torn))
        self._to_sender(self.forger.randbytes(self.forger.randrange(1, 1400)))

    # -- how

    def _beacon(self, session: int) -> messages.Beacon:
        return messages.Beacon(
            *(session, 1 << 30, SenderState.CLOSED, 0, self.forger.randrange(1 << 32), 1 << 20, 1 << 20),
            *(9, 0, 1 << 40, 60_000, 60_000),
        )

    def _forge(self, block: int, stripe: int, row: int, pseq: int, flags: int = 0) -> None:
        self._to_all(self._forged(block, stripe, row, pseq, flags))

    def _forged(self, block: int, stripe: int, row: int, pseq: int, flags: int) -> bytes:
        packet = np.zeros(1, datagram(self.image.symbol_size))
        head = packet["header"]
        head["vt"], head["flags"], head["session"] = 0x11, flags, SESSION
        head["block"], head["symbols"] = block, int(self.image.table.symbols[block])
        head["stripe"], head["row"], head["pseq"] = stripe, row, pseq & 0xFFFFFFFF
        packet["symbol"] = np.frombuffer(self.forger.randbytes(self.image.symbol_size), np.uint8)
        return packet.tobytes()

    def _to_all(self, packet: bytes) -> None:
        self.sent_forged += len(packet)
        for client in self.clients:
            if client.joined and client.alive:
                client.hear(self.now, packet)

    def _to_sender(self, packet: bytes) -> None:
        self.sent_forged += len(packet)
        self._answer(self.now, self.clients[0], packet)

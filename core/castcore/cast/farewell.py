"""A receiver's last words: all is durable, said until the sender has heard it, or often enough."""

from __future__ import annotations

from castcore.cast.constants import FIN_RETRY_SECONDS
from castcore.cast.messages import Fin
from castcore.cast.values import JoinAnswer
from castcore.cast.wire import encode_fin

# A cast ends for all of its clients at once: together they say so no faster than this a second.
FINS_A_SECOND = 500


class Farewell:
    """When to say FIN, that the image with this ``root`` is whole, and that we serve chunks now.

    ``seed_port``: where (TCP), 0 for nowhere. ``jitter`` (0..1) is this client's place among the others.
    """

    def __init__(self, root: bytes, jitter: float) -> None:
        self.seed_port = 0
        self._root, self._jitter = root, jitter
        self._flushing = False
        self._said, self._due = 0, 0.0

    def flush(self, now: float, clients: int) -> bool:
        """Whether to make everything durable now: once; one of so many ``clients`` speaks after that."""
        if self._flushing:
            return False
        self._flushing, self._due = True, now + self._jitter * clients / FINS_A_SECOND
        return True

    def due(self, now: float) -> bool:
        """Whether it is time to say it, or to leave."""
        return now >= self._due

    @property
    def over(self) -> bool:
        """Whether it was said often enough: that the sender does not answer harms nobody."""
        return self._said >= len(FIN_RETRY_SECONDS)

    def say(self, now: float, session: int, answer: JoinAnswer) -> bytes:
        """The datagram to send now."""
        self._due = now + FIN_RETRY_SECONDS[self._said]
        self._said += 1
        fin = Fin(answer.client_number, session, self._said, self._root, self.seed_port)
        return encode_fin(fin, answer.feedback_key)

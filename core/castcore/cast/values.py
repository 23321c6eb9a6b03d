"""What a cast tells its users: the answer to a join, a receiver's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from castcore.errors import BadPacket
from castcore.trust import KEY_SIZE


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """A client's number and feedback key; blocks below ``head`` are out and come in a later lap."""

    client_number: int
    feedback_key: bytes
    head: int

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "client_number": self.client_number,
            "feedback_key": self.feedback_key.hex(),
            "head": self.head,
        }

    @classmethod
    def from_json(cls, value: Any) -> JoinAnswer:
        """The answer that ``value`` spells. Raises BadPacket."""
        try:
            number, key, head = value["client_number"], value["feedback_key"], value["head"]
            answer = cls(number, bytes.fromhex(key), head)
        except (TypeError, KeyError, ValueError) as error:
            raise BadPacket(f"not an answer to a join: {error!r}") from None
        if type(number) is not int or type(head) is not int or not 0 <= number < 1 << 16 or head < 0:
            raise BadPacket("not an answer to a join: a number out of range")
        if len(answer.feedback_key) != KEY_SIZE:
            raise BadPacket("not an answer to a join: a key of the wrong size")
        return answer


@dataclass(frozen=True, slots=True)
class ReceiveResult:
    """Stored bytes that arrived by multicast and by unicast; ``repaired`` is the part of the multicast
    bytes that parity restored. ``refused``: chunks whose multicast bytes were not the image's.
    ``kept``: stored bytes of the chunks that were there before.
    """

    multicast: int
    unicast: int
    repaired: int
    seconds: float
    refused: int = 0
    kept: int = 0

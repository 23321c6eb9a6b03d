"""What a cast tells its users: the answer to a join, a receiver's result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from castcore.cast.protection import Protection
from castcore.errors import BadPacket
from castcore.trust import KEY_SIZE


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """A client's number and feedback key; blocks below ``head`` are out and come in a later lap.

    ``protection`` holds the keys of a cast whose descriptor asks for them; ``peer_key`` opens what its
    clients serve each other, empty when they do not.
    """

    client_number: int
    feedback_key: bytes
    head: int
    protection: Protection = field(default_factory=Protection)
    peer_key: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "client_number": self.client_number,
            "feedback_key": self.feedback_key.hex(),
            "head": self.head,
            "tag_key": self.protection.tag_key.hex(),
            "seal_key": self.protection.seal_key.hex(),
            "peer_key": self.peer_key.hex(),
        }

    @classmethod
    def from_json(cls, value: Any) -> JoinAnswer:
        """The answer that ``value`` spells. Raises BadPacket."""
        try:
            number, key, head = value["client_number"], value["feedback_key"], value["head"]
            tag_key, seal_key, peer_key = (
                bytes.fromhex(value[k]) for k in ("tag_key", "seal_key", "peer_key")
            )
            answer = cls(number, bytes.fromhex(key), head, Protection(tag_key, seal_key), peer_key)
        except (TypeError, KeyError, ValueError) as error:
            raise BadPacket(f"not an answer to a join: {error!r}") from None
        if type(number) is not int or type(head) is not int or not 0 <= number < 1 << 16 or head < 0:
            raise BadPacket("not an answer to a join: a number out of range")
        sizes = {len(tag_key), len(seal_key), len(peer_key)}
        if len(answer.feedback_key) != KEY_SIZE or not sizes <= {0, KEY_SIZE}:
            raise BadPacket("not an answer to a join: a key of the wrong size")
        return answer

    def require(self, *, mac: bool, encrypt: bool) -> None:
        """Return when the keys are here that the cast's descriptor asks for. Raises BadPacket."""
        if (bool(self.protection.tag_key), bool(self.protection.seal_key)) != (mac, encrypt):
            raise BadPacket("not an answer to a join: keys are missing, or too many")


@dataclass(frozen=True, slots=True)
class ReceiveResult:
    """Stored bytes that arrived by multicast, by unicast and from ``peers``; ``repaired`` is the part of
    the multicast bytes that parity restored. ``refused``: chunks that multicast brought spoiled.
    ``kept``: stored bytes of the chunks that were there before.
    """

    multicast: int
    unicast: int
    repaired: int
    seconds: float
    refused: int = 0
    kept: int = 0
    peers: int = 0

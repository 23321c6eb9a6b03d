"""``medium.json``: what a deploy medium says of itself, in the root of its data partition."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from castcore import canonical
from castcore.errors import BadImage, BadPacket

MEDIUM_FILE = "medium.json"
MEDIUM_LIMIT = 4096
FORMAT = 1
MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class MediumInfo:
    """``id`` is the UUID of the medium's partition table, lower case; ``name`` is for people.

    Raises ValueError for an id that is no UUID, or a name that no screen shows on one line.
    """

    id: str
    name: str

    def __post_init__(self) -> None:
        if str(UUID(self.id)) != self.id:
            raise ValueError(f"{self.id!r} is no UUID in lower case")
        if not self.name.isprintable() or not 1 <= len(self.name) <= MOST_NAME:
            raise ValueError(f"a medium's name has 1 to {MOST_NAME} characters, on one line")

    def encode(self) -> bytes:
        """The bytes of ``medium.json``."""
        return canonical.encode({"format": FORMAT, "id": self.id, "name": self.name}) + b"\n"


def parse_info(data: bytes) -> MediumInfo:
    """What the bytes of a ``medium.json`` say. Raises BadImage, also for a newer format."""
    try:
        value = canonical.decode(data, limit=MEDIUM_LIMIT)
        if value["format"] != FORMAT:
            raise BadImage(
                f"{MEDIUM_FILE}: format {value['format']!r:.20}, this Fleetcast knows {FORMAT}",
                hint="use a newer Fleetcast",
            )
        return MediumInfo(value["id"], value["name"])
    except (BadPacket, TypeError, KeyError, ValueError, AttributeError) as error:
        raise BadImage(f"{MEDIUM_FILE} is damaged: {error}") from None

"""Bodies that are control messages: read by the messages' own strict reader."""

from __future__ import annotations

from typing import Any, TypeVar

from castcore import canonical
from castcore.control import Message
from castcore.errors import BadPacket
from pydantic import BeforeValidator

M = TypeVar("M", bound=Message)


def message(kind: type[M]) -> BeforeValidator:
    """Read a body as ``kind``, whose fields the document shows. Raises BadPacket, answered with 422.

    The framework alone would take 0 for false, and text that JSON can spell but UTF-8 cannot (lone
    surrogates): no database or page holds that.
    """

    def read(value: Any) -> M:
        parsed = kind.from_json(value)
        try:
            canonical.encode(value)
        except UnicodeEncodeError:
            raise BadPacket("a string in it is no text") from None
        return parsed

    return BeforeValidator(read)

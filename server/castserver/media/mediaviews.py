"""What the API shows of deploy media, and of the images there and in the library."""

from __future__ import annotations

from pydantic import Field

from castserver.api.viewbase import View
from castserver.media.mediastate import MediaNow, MediaState


class MediumView(View):
    """One deploy medium that is connected; `problem` says why it cannot be used ("" when it can)."""

    medium: str = Field(description="the medium's id, which it keeps; empty: it could not be read")
    name: str
    where: str = Field(description="its device, or the file that it is")
    serial: str = Field(description="what its licences are bound to")
    size: int
    used: bool = Field(description="its images are cast, its PXE tree is served")
    problem: str


class MediaView(View):
    """How it stands with deploy media."""

    state: MediaState
    why: str = Field(description="what became of the one that was used; empty: nothing to say")
    media: list[MediumView] = Field(description="in the order in which they were connected")


def media_view(now: MediaNow) -> MediaView:
    """``now`` as the API shows it."""
    return MediaView(
        state=now.state,
        why=now.why,
        media=[
            MediumView(
                medium=one.id,
                name=one.name,
                where=one.where,
                serial=one.serial,
                size=one.size,
                used=one.key == now.used,
                problem=one.problem,
            )
            for one in now.connected
        ],
    )

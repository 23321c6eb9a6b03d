"""The calls by which a client has its disk's durable chunks remembered, and hears of them again."""

from typing import Annotated, Any, Protocol

from castcore.cast.chunkset import ChunkSet
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from castserver.casts import castroutes
from castserver.casts.castroutes import CameBy, Shown
from castserver.casts.durables import Durables
from castserver.casts.wayin import WayIn

MOST_TARGET = 1023  # the names of all disks of an image

Target = Annotated[str, Query(min_length=1, max_length=MOST_TARGET)]


class Durable(BaseModel):
    """What is durable on one disk of a client."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(
        min_length=1, max_length=MOST_TARGET, description="the disk, the same over boots"
    )
    held: str = Field(description="base64 of the deflated bits of its chunks, lowest first; empty: none")


class Remembering(Protocol):
    """The casts, and what is remembered of machines' disks."""

    @property
    def durables(self) -> Durables:
        """What is remembered."""
        ...

    def find(self, cast: str, way: WayIn) -> castroutes.RunningCast | None:
        """The cast with id ``cast``, for a client that came in by ``way``."""
        ...


def router(casts: Remembering) -> APIRouter:
    """The routes under ``/casts/ID/durable``; mount them under ``castcore.control.API``."""
    routes = APIRouter(
        prefix="/casts/{cast}", tags=["taking part in a cast"], responses=castroutes.REFUSALS
    )

    def entry(cast: str, shown: Shown, way: CameBy) -> castroutes.Admitted:
        return castroutes.admit(casts, cast, shown, way)

    @routes.get("/durable", summary="The chunks remembered of a disk", response_class=castroutes.Bytes)
    def recall(admitted: Annotated[castroutes.Admitted, Depends(entry)], target: Target) -> Response:
        """Of the cast's image, as the client told them before it restarted; a hint, to be checked."""
        cast, client = admitted
        return castroutes.Bytes(casts.durables.recall(client, target, cast.image.root))

    @routes.post("/durable", summary="Remember the chunks of a disk")
    def remember(
        admitted: Annotated[castroutes.Admitted, Depends(entry)], body: Durable
    ) -> dict[str, Any]:
        """Each replaces the one before; before the first byte is written, then as it grows."""
        cast, client = admitted
        image = cast.image
        held = castroutes.chunk_set(body.held)
        chunks = ChunkSet.decode(held, image.chunk_count) if held else ChunkSet.none(image.chunk_count)
        casts.durables.remember(client, body.target, image.root, chunks)
        return {}

    return routes

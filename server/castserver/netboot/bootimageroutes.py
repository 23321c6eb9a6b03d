"""What the operator calls to have machines boot an image once."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from castserver.api.access import Parts, operator_routes
from castserver.api.views import BootImageView, ErrorView, Refusals, boot_image_view
from castserver.casts.castwish import MOST_CLIENTS

ImageName = Annotated[str, Path(max_length=100)]

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such image or machine"}}
_REFUSED: Refusals = {
    403: {"model": ErrorView, "description": "The machine cannot boot it"},
    409: {"model": ErrorView, "description": "Machines wait for it"},
}

routes = operator_routes("boot images", "/boot-images")


class Machines(BaseModel):
    """Machines that are to boot an image, or not."""

    model_config = ConfigDict(extra="forbid")

    machines: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1,
        max_length=MOST_CLIENTS,
        description="ids, names or MACs: of machines never met, too",
    )


@routes.get("", summary="The boot images")
def list_boot_images(parts: Parts) -> list[BootImageView]:
    """The files in the state directory's `boot-images`, and which machines have still to boot each."""
    return [boot_image_view(stored, parts.once) for stored in parts.once.images.list()]


@routes.post("/{image}/boot", summary="Boot it once", responses=_MISSING | _REFUSED)
def boot(parts: Parts, image: ImageName, body: Machines) -> Machines:
    """Each of the machines boots it at its next network boot, then again what it booted before.

    The answer names them: one whose MAC was given by its id, if it was met before.
    """
    return Machines(machines=parts.once.order(image, body.machines))


@routes.post("/cancel", summary="Take orders back", responses=_MISSING)
def cancel(parts: Parts, body: Machines) -> list[BootImageView]:
    """The machines boot what they booted before; one that runs from an image goes on."""
    parts.once.take_back(body.machines)
    return list_boot_images(parts)


@routes.post("/{image}/delete", summary="Delete it", responses=_MISSING | _REFUSED)
def delete(parts: Parts, image: ImageName) -> list[BootImageView]:
    """A machine that runs from it now reads errors from then on. The answer is what is left."""
    parts.once.delete(image)
    return list_boot_images(parts)

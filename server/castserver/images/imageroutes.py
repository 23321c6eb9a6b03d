"""What the operator calls about the images of the library: have one checked, delete one."""

from typing import Annotated

from fastapi import Path
from pydantic import Field

from castserver.api.access import Parts, operator_routes
from castserver.api.viewbase import View
from castserver.api.views import ErrorView, Refusals
from castserver.images.imagekeeping import CheckState

_MISSING: Refusals = {404: {"model": ErrorView, "description": "There is no such image"}}
_IN_USE: Refusals = {
    409: {"model": ErrorView, "description": "A cast casts it, or other images borrow from it"}
}

ImageName = Annotated[str, Path(max_length=110)]

routes = operator_routes("images", "/images")


class CheckView(View):
    """Whether an image is as it was made: every chunk is read and proven."""

    image: str
    root: str = Field(description="digest (hex) of the image that was checked")
    state: CheckState
    when: int = Field(description="when the check ended, Unix seconds; 0: it has not")
    problem: str = Field(description="what is damaged; empty: nothing")
    done: int = Field(description="bytes proven so far")
    total: int


class Deleted(View):
    """What deleting an image freed."""

    image: str
    freed: int = Field(description="bytes")


@routes.get("/checks", summary="Which images were checked")
def list_checks(parts: Parts) -> list[CheckView]:
    """The latest check of every image, and those that wait."""
    return [CheckView.model_validate(check) for check in parts.images.checks()]


@routes.post("/{image}/check", summary="Check an image of the library", responses=_MISSING)
def check_image(parts: Parts, image: ImageName) -> CheckView:
    """In the background, one after the other; it pauses while a cast runs."""
    return CheckView.model_validate(parts.images.check(image))


@routes.post("/{image}/delete", summary="Delete an image of the library", responses=_MISSING | _IN_USE)
def delete(parts: Parts, image: ImageName) -> Deleted:
    """It is gone for good. Refused while a cast casts it or another image borrows from it."""
    return Deleted(image=image, freed=parts.images.delete(image))

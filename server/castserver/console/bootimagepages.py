"""The boot images as a page: which there are, and which machines have still to boot each."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from castserver.api.access import Parts
from castserver.console.visit import visited
from castserver.netboot.bootimageroutes import list_boot_images
from castserver.parts import ServerParts

routes = APIRouter(include_in_schema=False)


@routes.get("/boot-images")
def boot_images(request: Request, parts: Parts) -> Response:
    """Images that machines boot once, in place of our client or their disk."""
    return visited(request, parts, "bootimages.html", lambda _: _values(parts))


def _values(parts: ServerParts) -> dict[str, object]:
    images = list_boot_images(parts)
    known = parts.clients
    ordered = {machine for image in images for machine in image.machines}
    labels = {name: known.get(name).label for name in ordered if known.has(name)}
    return {"images": images, "labels": labels, "good": [i for i in images if not i.problem]}

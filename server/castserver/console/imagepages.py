"""Every image as a page: its disks as bars, where it is, what is wrong with it, when it was checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from castcore.image import Source
from fastapi import APIRouter, Request, Response

from castserver.api.access import Parts
from castserver.console.diskbars import WIDTH, DiskBar, disk_bar
from castserver.console.visit import visited
from castserver.images.imagekeeping import Check
from castserver.images.shelves import LIBRARY, Shelved
from castserver.parts import ServerParts

routes = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class ImageCard:
    """One image as its card shows it; an image with a ``problem`` has nothing else. Sizes are bytes."""

    name: str
    where: str
    problem: str = ""
    created: int = 0
    used: int = 0
    stored: int = 0
    borrowed: int = 0
    lenders: tuple[str, ...] = ()
    chunks: int = 0
    root: str = ""
    source: Source = field(default=Source())
    made_by: str = ""
    left_out: bool = False
    boot_entries: tuple[str, ...] = ()
    disks: tuple[DiskBar, ...] = ()
    check: Check | None = None

    @property
    def in_library(self) -> bool:
        """Whether it lies in the library, not on a medium."""
        return self.where == LIBRARY


def image_card(shelved: Shelved, checks: dict[str, Check]) -> ImageCard:
    """``shelved`` as a card; ``checks`` are those of the library's images, by root."""
    stored, manifest = shelved.image, shelved.image.manifest
    held = shelved.held
    if manifest is None or held is None:
        return ImageCard(stored.name, shelved.where, stored.problem)
    root = manifest.index_digest.hex()
    return ImageCard(
        stored.name,
        shelved.where,
        "",
        manifest.created,
        manifest.used,
        held.stored,
        held.borrowed,
        held.lenders,
        manifest.chunk_count,
        root,
        manifest.source,
        manifest.made_by,
        any(disk.layout.left_out for disk in manifest.disks),
        tuple(entry.description for entry in manifest.boot_entries),
        tuple(disk_bar(disk) for disk in manifest.disks),
        checks.get(root) if shelved.where == LIBRARY else None,
    )


@routes.get("/images")
def images(request: Request, parts: Parts) -> Response:
    """The images of the library and of the medium in use."""
    return visited(request, parts, "images.html", lambda _: _values(parts))


def _values(parts: ServerParts) -> dict[str, object]:
    checks = {check.root: check for check in parts.images.checks()}
    cards = [image_card(shelved, checks) for shelved in parts.library.all()]
    return {
        "cards": cards,
        "total": sum(card.stored for card in cards if card.in_library),
        "checking": any(c.check is not None and not c.check.state.ended for c in cards),
        "width": WIDTH,
    }

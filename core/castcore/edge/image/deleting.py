"""Deleting an image from its store: it is there complete, or gone."""

from __future__ import annotations

from pathlib import Path

from castcore.edge.image.borrowers import claimed
from castcore.edge.image.partial import Partial, remove_stale
from castcore.edge.image.store import MANIFEST_FILE, image_name, sync_directory, writing_to
from castcore.errors import NotFound, Refused


def require_image(path: Path) -> None:
    """Return when ``path`` may be deleted as an image, a damaged one too. Raises NotFound, Refused."""
    if path.is_symlink():
        raise Refused(f"{path} is a link, not an image", hint="name the image that it leads to")
    if not path.is_dir():
        raise NotFound(f"no such image: {path}", hint="`fleetcast image list` shows a store's images")
    if not (path / MANIFEST_FILE).exists():
        raise Refused(
            f"{path} is no image: it has no {MANIFEST_FILE}", hint="look what it is; rm -r removes it"
        )


def delete_image(path: Path) -> int:
    """Delete the image at ``path``; return how many bytes its files had.

    First its name goes, durably, then its files; those that a killed delete leaves are removed by the
    next writer into that store. Raises NotFound, Refused, InUse (others borrow from it), DiskFailed.
    """
    require_image(path)
    with claimed(path):
        size = sum(p.lstat().st_size for p in path.iterdir())
        with Partial(path.parent, image_name(path)) as away, writing_to(path.parent):
            path.rename(away.path)
            sync_directory(path.parent)
        remove_stale(path.parent)
    return size

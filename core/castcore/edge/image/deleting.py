"""Deleting an image from its store: it is there complete, or gone."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from castcore.edge.image.borrowers import claimed
from castcore.edge.image.partial import remove_stale
from castcore.edge.image.store import MANIFEST_FILE, SUFFIX, image_name, sync_directory, writing_to
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
        away = _unused_partial(path)
        with writing_to(path.parent):
            path.rename(away)  # a full store has room for this, but not for a new directory
            sync_directory(path.parent)
        shutil.rmtree(away, ignore_errors=True)
        remove_stale(path.parent)
    return size


def _unused_partial(path: Path) -> Path:
    name = image_name(path)
    while True:
        away = path.with_name(f".{name}{SUFFIX}.partial-{secrets.token_hex(4)}")
        if not away.exists():
            return away

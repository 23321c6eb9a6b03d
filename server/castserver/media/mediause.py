"""What follows when a deploy medium comes or is pulled out: casts from it, its PXE tree."""

from __future__ import annotations

from castserver.media.mediastate import Medium, tree_of
from castserver.netboot.bootserving import BootServing
from castserver.netboot.bootstate import DeployEnd
from castserver.parts import ServerParts
from castserver.services.bootfiles import TREE_FILE


class MediaUse:
    """Implements `media.Users`; ``follow_tree``: the server was given no boot tree itself."""

    def __init__(self, parts: ServerParts, boot: BootServing, *, follow_tree: bool) -> None:
        self._parts, self._boot, self._follow_tree = parts, boot, follow_tree

    def uses(self, medium: str) -> bool:
        """Whether a cast runs from the medium with this key."""
        return self._parts.casts.uses(medium)

    def connected(self, medium: Medium) -> None:
        """It is the one to use now."""
        if self._follow_tree:
            tree = tree_of(medium)
            self._boot.follow(tree if (tree / TREE_FILE).is_file() else None)

    def gone(self, medium: Medium, why: str, *, used: bool) -> None:
        """It was pulled out: what runs from it ends, first of all its casts."""
        self._parts.casts.medium_gone(medium.key, why)
        if not used:
            return
        if self._follow_tree:
            self._boot.follow(None)
        booting = self._parts.booting
        if DeployEnd.MEDIUM_REMOVED in booting.state().deploy.ends:
            booting.end_deploy(why)

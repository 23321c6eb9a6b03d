"""Boot trees of a few bytes: what the services need of one, without a build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from castcore.trust import digest

ROLES = {"kernel": b"k", "initrd": b"ii", "shim": b"s", "grub": b"g", "ipxe": b"u"}


def tree(folder: Path, contents: Mapping[str, bytes] = ROLES, **changes: object) -> Path:
    files = {}
    for role, data in {**ROLES, **contents}.items():
        (folder / role).write_bytes(data)
        files[role] = {"name": role, "size": len(data), "blake3": digest(data).hex()}
    (folder / "tree.json").write_text(json.dumps({"format": 1, "files": files} | changes))
    return folder

"""The token in the state directory: whoever may read it there is an administrator."""

from __future__ import annotations

import secrets
from pathlib import Path

from castcore.edge.image.store import require_space
from castcore.edge.net.identity import write_secret
from castcore.errors import DiskFailed, Untrusted

TOKEN_FILE = "operator.token"
SHORTEST_TOKEN = 20


def load_or_make_token(directory: Path) -> str:
    """The token kept in ``directory``, an administrator's, made at first.

    Raises NoSpace, DiskFailed, Untrusted.
    """
    path = directory / TOKEN_FILE
    try:
        if not path.exists():
            write_secret(path, f"{secrets.token_urlsafe(32)}\n".encode())
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            require_space(error, directory, "another directory")
        raise DiskFailed(f"{path}: {error}", hint="give a directory we may write to") from None
    if len(token) < SHORTEST_TOKEN:
        raise Untrusted(
            f"the token in {path} is too short to be safe", hint="remove the file: a new one is made"
        )
    return token

"""People at a server under test: a password, how they log in, and hashes that take no time."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher
from castserver.accounts import passwords
from castserver.accounts.auth import CONSOLE_HEADER

from tests.support.serverlab import ServerLab

FROM_CONSOLE = {CONSOLE_HEADER: "1"}
PASSWORD = "correct horse battery"


def quicken_hashes(patch: pytest.MonkeyPatch) -> None:
    """Let hashing a password take no time: its strength is not what is tested."""
    patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def log_in(lab: ServerLab, name: str, password: str, **headers: str) -> Any:
    """The answer to the form of the login page."""
    form = {"name": name, "password": password}
    return lab.http.post("/login", data=form, headers=headers, follow_redirects=False)

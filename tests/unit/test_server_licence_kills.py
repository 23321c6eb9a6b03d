"""A server killed between any two steps of a licensed cast: each licence is consumed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from castcore.edge.licence.ledgerfile import LedgerFile
from castserver.database import Database
from castserver.wayin import WayIn

from tests.support.licences import FolderMedium
from tests.support.licensedlab import counts, create, done, licensed_lab, machines, parts
from tests.support.serverlab import ROOT


@pytest.fixture
def medium(tmp_path: Path) -> FolderMedium:
    return FolderMedium(tmp_path / "school")


class Killed(BaseException):
    """The server is dead from here on."""


def dying(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, at: int, *, after: bool) -> None:
    """The ``at``-th call (from 0) of a method kills the server, before or ``after`` its work."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at + 1 and not after:
            raise Killed
        answer = real(*args, **named)
        if calls == at + 1:
            raise Killed
        return answer

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["reserve", "consume", "save"])
@pytest.mark.parametrize("at", range(6))
def test_a_server_killed_between_any_two_steps_consumes_once(
    medium: FolderMedium, monkeypatch: pytest.MonkeyPatch, name: str, at: int, *, after: bool
) -> None:
    medium.issue(2)
    lab = licensed_lab(medium)
    one, two = machines(lab, 2)
    cast = create(lab, start_clients=2)
    counts(lab)
    with monkeypatch.context() as patch:
        dying(patch, Database if name == "save" else LedgerFile, name, at, after=after)
        try:
            for client in (one, two):
                lab.casts.claim(lab.casts.get(cast), client.id)
                admission = lab.casts.find(cast, WAY)
                assert admission is not None
                assert admission.current_sender().descriptor
                admission.join(client.id, b"")
            for client in (one, two):
                done(lab, client, cast)
                lab.casts.tick()
        except Killed:
            pass
    lab.casts.licensing.close()
    lab.restart()
    for client in (one, two):
        if parts(lab, cast).get(client.id, {}).get("state") != "done":
            client.register()
            assert client.claim(cast)["granted"]
            assert client.join(cast).is_success
            client.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (0, 0, 2)
    assert {p["state"] for p in parts(lab, cast).values()} == {"done"}


WAY = WayIn()

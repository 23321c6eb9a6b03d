"""Licences in casts: a server over a medium in a folder, and clients that talk to it over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.edge.licence.blocks import DirectBlocks
from castcore.errors import DiskFailed
from castcore.licence import MOST_RECENT
from castserver.machines.clients import GONE_AFTER

from tests.support.licences import FolderMedium
from tests.support.licensedlab import counts, create, done, licensed_lab, machines, parts
from tests.support.serverlab import ROOT, FakeClient


@pytest.fixture
def medium(tmp_path: Path) -> FolderMedium:
    return FolderMedium(tmp_path / "school")


def test_a_licence_is_reserved_at_the_join_and_consumed_by_the_proof(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    one, two = machines(lab, 2)
    cast = create(lab, start_clients=2)
    assert counts(lab) == (3, 0, 0)
    assert one.claim(cast)["granted"]
    assert counts(lab) == (2, 1, 0)
    for client in (one, two, one):
        assert client.join(cast).is_success
    assert counts(lab) == (1, 2, 0)
    one.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (1, 1, 1)
    two.report("failed", cast=cast, message="the disk is broken")
    assert counts(lab) == (2, 0, 1)
    lab.casts.close()
    assert (medium.balance().consumed, medium.balance().reserved) == (1, 0)


def test_who_finds_none_left_is_told_why_and_takes_no_part(medium: FolderMedium) -> None:
    medium.issue(1)
    lab = licensed_lab(medium)
    one, two = machines(lab, 2)
    cast = create(lab, start_clients=1)
    one.claim(cast)
    answer = two.claim(cast)
    assert not answer["granted"]
    assert "0 consumed, 1 reserved" in answer["why"]
    part = parts(lab, cast)[two.id]
    assert (part["state"], part["message"]) == ("refused", answer["why"])
    assert two.join(cast).status_code in (403, 404)
    assert counts(lab) == (0, 1, 0)


@pytest.mark.parametrize("end", ["cancel", "gone", "wrong root"])
def test_what_ends_without_proof_gives_its_licence_back(medium: FolderMedium, end: str) -> None:
    medium.issue(1)
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    cast = create(lab, start_clients=1)
    client.join(cast)
    assert counts(lab) == (0, 1, 0)
    match end:
        case "cancel":
            lab.operator("POST", f"/casts/{cast}/cancel")
        case "gone":
            lab.clock.now += GONE_AFTER + 1
        case _:
            client.report("done", cast=cast, root="cd" * 32)
    assert counts(lab) == (1, 0, 0)


def test_a_lost_machine_keeps_its_licence_while_the_cast_lasts(medium: FolderMedium) -> None:
    medium.issue(2)
    lab = licensed_lab(medium)
    lost, other = machines(lab, 2)
    cast = create(lab, start_clients=2)
    lost.join(cast)
    other.join(cast)
    lab.clock.now += GONE_AFTER + 1
    other.report("receiving", cast=cast)
    assert counts(lab) == (0, 2, 0)
    assert parts(lab, cast)[lost.id]["state"] == "gone"
    lost.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (0, 1, 1)


def test_one_that_proves_its_disk_after_it_was_given_up_pays_then(medium: FolderMedium) -> None:
    medium.issue(1)
    lab = licensed_lab(medium)
    late, other = machines(lab, 2)
    late.join(cast := create(lab, start_clients=1, clients=[late.id]))
    lab.operator("POST", f"/casts/{cast}/cancel")
    assert counts(lab) == (1, 0, 0)
    late.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (0, 0, 1)
    other.join(second := create(lab, start_clients=1, clients=[other.id]))
    assert parts(lab, second)[other.id]["state"] == "refused"


def test_one_given_up_whose_licence_went_to_another_is_not_done(medium: FolderMedium) -> None:
    medium.issue(1)
    lab = licensed_lab(medium)
    late, other = machines(lab, 2)
    late.join(first := create(lab, start_clients=1, clients=[late.id]))
    lab.operator("POST", f"/casts/{first}/cancel")
    lab.casts.tick()
    other.claim(create(lab, start_clients=1, clients=[other.id]))
    late.report("done", cast=first, root=ROOT)
    part = parts(lab, first)[late.id]
    assert part["state"] == "failed"
    assert "given up before" in part["message"]
    assert counts(lab) == (0, 1, 0)


def test_a_medium_pulled_out_loses_nothing(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    done, failed, going = machines(lab, 3)
    cast = create(lab, start_clients=3)
    for client in (done, failed, going):
        client.join(cast)
    medium.connected = False
    assert lab.operator("GET", "/licences") == []
    done.report("done", cast=cast, root=ROOT)
    failed.report("failed", cast=cast, message="no")
    assert parts(lab, cast)[done.id]["state"] == "done"
    lab.casts.tick()
    medium.connected = True
    assert counts(lab) == (1, 1, 1)


def test_the_server_goes_on_where_it_was(medium: FolderMedium) -> None:
    """Restarted with everything due: nothing is done twice, nothing is left."""
    medium.issue(5)
    lab = licensed_lab(medium)
    clients = machines(lab, 3)
    cast = create(lab, start_clients=3)
    for client in clients:
        client.join(cast)
    medium.connected = False
    clients[0].report("done", cast=cast, root=ROOT)
    lab.casts.licensing.close()
    medium.connected = True
    lab.restart()
    assert counts(lab) == (2, 2, 1)
    for client in clients[1:]:
        client.join(cast)
        client.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (2, 0, 3)
    lab.casts.licensing.close()
    lab.restart()
    assert counts(lab) == (2, 0, 3)


def test_one_that_finishes_after_the_medium_was_pulled_pays_when_it_is_back(
    medium: FolderMedium,
) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    one, other = machines(lab, 2)
    one.join(cast := create(lab, start_clients=1))
    other.claim(cast)
    medium.connected = False
    lab.operator("POST", f"/casts/{cast}/cancel")
    one.report("done", cast=cast, root=ROOT)
    assert parts(lab, cast)[one.id]["state"] == "done"
    late = FakeClient(lab, 3).register()
    assert late.get(f"/casts/{cast}/descriptor").status_code == 404
    medium.connected = True
    assert counts(lab) == (2, 0, 1)


def test_nobody_joins_a_licensed_cast_while_its_medium_is_away(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    one, late = machines(lab, 2)
    one.claim(cast := create(lab, start_clients=2))
    medium.connected = False
    for client in (late, one):
        again = lab.http.post(f"/api/v1/casts/{cast}/licence", headers=client.headers)
        assert again.status_code == 503
        assert "is not connected" in again.json()["error"]
    medium.connected = True
    for client in (late, one):
        assert client.claim(cast)["granted"]
    assert counts(lab) == (1, 2, 0)


def test_a_medium_that_fails_for_a_moment_is_used_again(
    medium: FolderMedium, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium.issue(2)
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    client.join(cast := create(lab, start_clients=1))
    with monkeypatch.context() as patch:
        patch.setattr(DirectBlocks, "write", _failing)
        client.report("done", cast=cast, root=ROOT)
        lab.casts.tick()
    assert parts(lab, cast)[client.id]["state"] == "done"
    assert counts(lab) == (1, 0, 1)


def _failing(_self: DirectBlocks, _offset: int, _data: bytes) -> None:
    raise DiskFailed("the stick is wet")


def test_a_room_that_finishes_at_once_is_consumed_at_once(medium: FolderMedium) -> None:
    medium.issue(200)
    lab = licensed_lab(medium)
    clients = machines(lab, MOST_RECENT + 2)
    cast = create(lab, start_clients=len(clients))
    for client in clients:
        lab.casts.claim(lab.casts.get(cast), client.id)
    medium.connected = False
    for client in clients:
        done(lab, client, cast)
    medium.connected = True
    (before,) = lab.operator("GET", "/licences")
    assert counts(lab) == (200 - len(clients), 0, len(clients))
    (after,) = lab.operator("GET", "/licences")
    assert after["changes"] - before["changes"] == 2

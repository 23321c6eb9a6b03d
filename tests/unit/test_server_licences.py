"""Licences in casts: a server over a medium in a folder, and clients that talk to it over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from castcore.control import ClientState, Report
from castcore.edge.licence.blocks import DirectBlocks
from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.errors import DiskFailed
from castcore.licence import MOST_RECENT, SIZE, Use
from castcore.trust import SigningKey
from castserver.clients import GONE_AFTER
from castserver.database import Database
from castserver.licenceterms import LicenceTerms
from castserver.wayin import WayIn

from tests.support.licences import STRICT, TERMS, FolderMedium
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, ServerLab


@pytest.fixture
def medium(tmp_path: Path) -> FolderMedium:
    return FolderMedium(tmp_path / "school")


def lab_of(medium: FolderMedium, terms: LicenceTerms = TERMS) -> ServerLab:
    return ServerLab(ledgers=medium, terms=terms)


def create(lab: ServerLab, **fields: object) -> str:
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def counts(lab: ServerLab) -> tuple[int, int, int]:
    """Left, reserved and consumed of all licences, as the operator sees them."""
    lab.casts.tick()
    own = [licence for m in lab.operator("GET", "/licences") for licence in m["licences"]]
    return tuple(sum(one[word] for one in own) for word in ("left", "reserved", "consumed"))  # type: ignore[return-value]


def parts(lab: ServerLab, cast: str) -> dict[str, dict[str, Any]]:
    return {p["client"]: p for p in lab.operator("GET", f"/casts/{cast}")["parts"]}


def machines(lab: ServerLab, number: int) -> list[FakeClient]:
    return [FakeClient(lab, n).register() for n in range(1, number + 1)]


def test_a_licence_is_reserved_at_the_join_and_consumed_by_the_proof(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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
    lab = lab_of(medium)
    one, other = machines(lab, 2)
    one.join(cast := create(lab, start_clients=1))
    other.claim(cast)
    medium.connected = False
    lab.operator("POST", f"/casts/{cast}/cancel")
    one.report("done", cast=cast, root=ROOT)
    assert parts(lab, cast)[one.id]["state"] == "done"
    late = FakeClient(lab, 3).register()
    assert late.join(cast).status_code == 404
    medium.connected = True
    assert counts(lab) == (2, 0, 1)


def test_nobody_joins_a_licensed_cast_while_its_medium_is_away(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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


def done(lab: ServerLab, client: FakeClient, cast: str) -> None:
    """A proof, without HTTP between: what kills the server must end the call."""
    report = Report(ClientState.DONE, cast, root=ROOT)
    lab.casts.hear(lab.clients.get(client.id), report)


def test_media_without_licences_are_free_or_refused_as_the_setting_says(medium: FolderMedium) -> None:
    free = lab_of(medium)
    (client,) = machines(free, 1)
    assert client.join(create(free, start_clients=1)).is_success
    free.casts.licensing.close()
    strict = lab_of(medium, STRICT)
    (client,) = machines(strict, 1)
    answer = client.claim(create(strict, start_clients=1))
    assert answer["why"] == "medium school holds no licence, and this server casts nothing without"
    own = ServerLab(terms=STRICT)
    (client,) = machines(own, 1)
    answer = client.claim(create(own, start_clients=1))
    assert answer["why"] == "image lab has no licence, and this server casts nothing without"


def test_a_medium_without_a_ledger_is_free_unless_licences_lie_on_it(medium: FolderMedium) -> None:
    medium.ledger_path.write_bytes(bytes(SIZE))
    lab = lab_of(medium)
    (client,) = machines(lab, 1)
    assert client.claim(create(lab, start_clients=1))["granted"]
    lab.casts.licensing.close()
    medium.issue(5)
    lab = lab_of(medium)
    (client,) = machines(lab, 1)
    assert client.claim(create(lab, start_clients=1))["why"] == "there is no licence ledger"


def test_a_medium_whose_licences_do_not_count_is_not_free(medium: FolderMedium) -> None:
    medium.issue(5, key=SigningKey(bytes(31) + b"\x09"))
    lab = lab_of(medium)
    (client,) = machines(lab, 1)
    answer = client.claim(create(lab, start_clients=1))
    assert answer["why"].startswith("no licence file of medium school counts: 01.lic: licence 00000000")


def test_licences_that_do_not_count_are_named(medium: FolderMedium) -> None:
    medium.issue(5, key=SigningKey(bytes(31) + b"\x09"))
    medium.issue(5, expires=1)
    (medium.folder / "junk.lic").write_bytes(b"{}")
    medium.issue(5, product="office-*")
    lab = lab_of(medium)
    (client,) = machines(lab, 1)
    (shown,) = lab.operator("GET", "/licences")
    assert [licence["product"] for licence in shown["licences"]] == ["office-*"]
    notes = {note.partition(":")[0]: note for note in shown["notes"]}
    assert "not trusted" in notes["01.lic"]
    assert "expired" in notes["02.lic"]
    assert "not a licence file" in notes["junk.lic"]
    answer = client.claim(create(lab, start_clients=1))
    assert answer["why"] == "no licence of the medium is for image lab, they are for office-*"


def test_an_older_copy_of_a_ledger_is_refused(medium: FolderMedium, tmp_path: Path) -> None:
    medium.issue(3)
    lab = lab_of(medium)
    (client,) = machines(lab, 1)
    counts(lab)
    lab.casts.licensing.close()
    copy = tmp_path / "copy"
    shutil.copy(medium.ledger_path, copy)
    lab.restart()
    client.join(cast := create(lab, start_clients=1))
    client.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (2, 0, 1)
    lab.casts.licensing.close()
    shutil.copy(copy, medium.ledger_path)
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "it is an older copy" in shown["problem"]
    client.register()
    answer = client.claim(create(lab, start_clients=1))
    assert "older copy" in answer["why"]
    # The same, changed as often since as the one we know: another past.
    with LedgerFile(medium.ledger_path, 0, SIZE, medium.serial) as file:
        for number in range(2):
            file.reserve(Use("elsewhere", str(number)), "lab")
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "another past" in shown["problem"]


def test_a_ledger_on_another_disk_is_refused(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = lab_of(medium)
    counts(lab)
    lab.casts.licensing.close()
    medium.serial = "OTHER"
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "belongs to the USB disk with serial number 4C530001" in shown["problem"]


def test_one_licence_counts_in_one_ledger_only(medium: FolderMedium, tmp_path: Path) -> None:
    medium.issue(3)
    lab = lab_of(medium)
    counts(lab)
    lab.casts.licensing.close()
    other = FolderMedium(tmp_path / "other", serial="FFFF")
    other.issue(3)
    again = ServerLab(lab.database, ledgers=other, terms=TERMS)
    (shown,) = again.operator("GET", "/licences")
    assert shown["licences"] == []
    assert "not only in" in shown["notes"][0]


def test_strays_of_another_server_go_back_by_hand(medium: FolderMedium) -> None:
    medium.issue(3)
    elsewhere = lab_of(medium)
    (client,) = machines(elsewhere, 1)
    client.claim(create(elsewhere, start_clients=1))
    elsewhere.casts.licensing.close()
    lab = lab_of(medium)
    (own,) = machines(lab, 1)
    own.claim(create(lab, start_clients=1))
    assert counts(lab) == (1, 2, 0)
    assert lab.operator("POST", "/licences/school/release") == {"released": 1}
    assert counts(lab) == (2, 1, 0)
    missing = lab.http.post("/api/v1/licences/nowhere/release", headers=OPERATOR)
    assert missing.status_code == 404


def test_a_medium_that_fails_for_a_moment_is_used_again(
    medium: FolderMedium, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium.issue(2)
    lab = lab_of(medium)
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
    lab = lab_of(medium)
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


WAY = WayIn()

"""A database that fails once: what happens to a cast is made up, and nothing is in memory before."""

from __future__ import annotations

import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import BootDecision
from castcore.cast.chunkset import ChunkSet
from castserver.casts.castmodel import Cast
from castserver.database.tables import CastRow, DurableRow, LicenceUseRow, MachineRow, PartRow
from castserver.images.library import LibraryImage

from tests.support.faintdatabase import FULL, Faint, faint, wait_closed
from tests.support.licences import FolderMedium
from tests.support.licensedlab import counts, licensed_lab
from tests.support.serverlab import OPERATOR, ROOT, FakeClient, FakeImage, FakeLibrary, ServerLab

FULL_STATUS = 507


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


@pytest.fixture
def database(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> Faint:
    return faint(lab, monkeypatch)


def create(lab: ServerLab, **fields: object) -> str:
    cast: str = lab.operator("POST", "/casts", {"image": "lab", **fields})["cast"]
    return cast


def show(lab: ServerLab, cast: str) -> tuple[str, dict[str, str]]:
    """Its state, and that of every part."""
    shown = lab.operator("GET", f"/casts/{cast}")
    return shown["state"], {p["client"]: p["state"] for p in shown["parts"]}


def stored(lab: ServerLab, cast: str) -> tuple[str, dict[str, str]]:
    """The same, as a server that is killed now finds it."""
    (row,) = (row for row in lab.database.all(CastRow) if row.id == cast)
    parts = (part for part in lab.database.all(PartRow) if part.cast == cast)
    return row.state, {part.machine: part.state for part in parts}


def ask(lab: ServerLab, path: str, body: object = None) -> int:
    status: int = lab.http.post(f"/api/v1{path}", json=body or {}, headers=OPERATOR).status_code
    return status


def tell(client: FakeClient, state: str, **fields: Any) -> int:
    path = f"/api/v1/clients/{client.id}/report"
    body = {"state": state, **fields}
    status: int = client.lab.http.post(path, json=body, headers=client.headers).status_code
    return status


def running(lab: ServerLab, number: int = 1) -> tuple[str, list[FakeClient]]:
    """A cast under way, and its machines."""
    clients = [FakeClient(lab, n).register() for n in range(1, number + 1)]
    cast = create(lab, start_clients=number)
    for client in clients:
        client.join(cast)
    return cast, clients


# -- a machine's part


@pytest.mark.parametrize("again", ["the machine says it again", "nobody says anything"])
def test_a_proof_that_could_not_be_written_is_not_lost(
    lab: ServerLab, database: Faint, again: str
) -> None:
    cast, (client,) = running(lab)
    database.kind, database.left = PartRow, 1
    assert tell(client, "done", cast=cast, root=ROOT) == FULL_STATUS
    assert show(lab, cast) == stored(lab, cast) == ("running", {client.id: "joined"})
    if again == "nobody says anything":
        lab.casts.tick()
    else:
        client.report("done", cast=cast, root=ROOT)
    assert show(lab, cast) == stored(lab, cast) == ("done", {client.id: "done"})
    assert lab.clients.get(client.id).boots is BootDecision.LOCAL


def test_a_proof_that_comes_after_the_end_is_not_lost_either(lab: ServerLab, database: Faint) -> None:
    cast, (client,) = running(lab)
    client.report("failed", cast=cast)
    database.kind, database.left = PartRow, 1
    assert tell(client, "done", cast=cast, root=ROOT) == FULL_STATUS
    lab.casts.tick()
    assert show(lab, cast) == stored(lab, cast) == ("failed", {client.id: "done"})


def test_a_proof_its_disk_and_what_it_boots_are_one_write(lab: ServerLab, database: Faint) -> None:
    cast, (client, _) = running(lab, 2)
    held = {"target": "wwn-1", "held": b64encode(ChunkSet.numbered(3, [0]).encode()).decode()}
    path = f"/api/v1/casts/{cast}/durable"
    assert lab.http.post(path, json=held, headers=client.headers).is_success
    database.saves.clear()
    client.report("done", cast=cast, root=ROOT)
    first = database.saves[0]
    assert [type(row) for row in first] == [PartRow, DurableRow, MachineRow]
    assert not any(isinstance(row, PartRow) for rows in database.saves[1:] for row in rows)


def test_a_licence_stays_until_the_proof_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = FolderMedium(tmp_path / "school")
    medium.issue(1)
    lab = licensed_lab(medium)
    database = faint(lab, monkeypatch)
    cast, (client,) = running(lab)
    database.kind, database.left = PartRow, 1
    tell(client, "done", cast=cast, root=ROOT)
    assert [row.state for row in lab.database.all(LicenceUseRow)] == ["reserved"]
    assert counts(lab) == (0, 0, 1), "a second later it is consumed, not given back"


def test_a_join_that_could_not_be_written_is_done_again(lab: ServerLab, database: Faint) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab, start_clients=1)
    for kind in (CastRow, PartRow, CastRow):
        database.kind, database.left = kind, 1
        assert client.join(cast).status_code == FULL_STATUS
        assert show(lab, cast)[0] == "gathering"
        assert not lab.senders[0].started
    client.join(cast)
    assert show(lab, cast) == stored(lab, cast) == ("running", {client.id: "joined"})
    assert lab.senders[0].started


# -- the operator's hand


@pytest.mark.parametrize(
    ("before", "word"), [([], "start"), (["start"], "pause"), (["start", "pause"], "resume")]
)
def test_what_could_not_be_written_has_not_happened(
    lab: ServerLab, database: Faint, before: list[str], word: str
) -> None:
    client = FakeClient(lab, 1).register()
    cast = create(lab)
    client.join(cast)
    for step in before:
        lab.operator("POST", f"/casts/{cast}/{step}")
    was, on_air = show(lab, cast), (lab.senders[0].started, lab.senders[0].paused)
    database.kind, database.left = CastRow, 1
    assert ask(lab, f"/casts/{cast}/{word}") == FULL_STATUS
    assert show(lab, cast) == stored(lab, cast) == was
    assert (lab.senders[0].started, lab.senders[0].paused) == on_air
    lab.operator("POST", f"/casts/{cast}/{word}")
    assert show(lab, cast) == stored(lab, cast) != was
    assert (lab.senders[0].started, lab.senders[0].paused) != on_air


def test_a_cancelled_cast_is_off_the_air_whatever_the_database_does(
    lab: ServerLab, database: Faint
) -> None:
    cast, (client,) = running(lab)
    database.kind, database.left = CastRow, 2
    assert ask(lab, f"/casts/{cast}/cancel") == FULL_STATUS
    wait_closed(lab)
    assert lab.senders[0].aborted
    assert lab.library.opened[0].closed
    assert FakeClient(lab, 2).register().orders() == [], "nobody is ordered into it any more"
    lab.casts.tick()
    assert stored(lab, cast)[0] == "running"
    lab.casts.tick()
    assert show(lab, cast) == stored(lab, cast) == ("cancelled", {client.id: "failed"})
    assert lab.operator("GET", f"/casts/{cast}")["message"] == "cancelled by the operator"


def test_a_cast_and_its_open_parts_end_in_one_write(lab: ServerLab, database: Faint) -> None:
    cast, clients = running(lab, 5)
    clients[0].report("done", cast=cast, root=ROOT)
    database.saves.clear()
    lab.operator("POST", f"/casts/{cast}/cancel")
    written = [rows for rows in database.saves if any(isinstance(row, PartRow) for row in rows)]
    assert [[type(row) for row in rows] for rows in written] == [[CastRow, *[PartRow] * 4]]


def test_one_cast_that_cannot_be_written_holds_up_no_other(lab: ServerLab, database: Faint) -> None:
    one, other = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    first, second = (create(lab, start_clients=1, clients=[c.id]) for c in (one, other))
    one.join(first)
    other.join(second)
    for sender in lab.senders:
        sender.failure = "packs/0 cannot be read: Input/output error"
    database.kind, database.left = CastRow, 1
    lab.casts.tick()
    assert sorted(show(lab, cast)[0] for cast in (first, second)) == ["failed", "running"]
    lab.casts.tick()
    assert show(lab, first) == ("failed", {one.id: "failed"})
    assert show(lab, second) == ("failed", {other.id: "failed"})


# -- orders


def test_a_cast_and_all_its_orders_are_one_write(lab: ServerLab, database: Faint) -> None:
    clients = [FakeClient(lab, n).register() for n in range(1, 31)]
    database.saves.clear()
    cast = create(lab)
    written = [rows for rows in database.saves if any(isinstance(r, CastRow | PartRow) for r in rows)]
    assert [[type(row) for row in rows] for rows in written] == [
        [CastRow, *[PartRow] * 30, *[MachineRow] * 30]
    ]
    assert all([o["cast"] for o in client.orders()] == [cast] for client in clients)


def test_a_cast_that_could_not_be_written_was_never_there(lab: ServerLab, database: Faint) -> None:
    client = FakeClient(lab, 1).register()
    database.kind, database.left = MachineRow, 1
    assert ask(lab, "/casts", {"image": "lab"}) == FULL_STATUS
    wait_closed(lab)
    assert lab.operator("GET", "/casts") == []
    assert lab.database.all(CastRow) == []
    assert client.orders() == []
    assert lab.library.opened[0].closed
    create(lab)
    assert [o["number"] for o in client.orders()] == [1]


def test_an_order_that_could_not_be_written_is_given_later(lab: ServerLab, database: Faint) -> None:
    cast = create(lab)
    client = FakeClient(lab, 1)
    database.kind, database.left = PartRow, 1
    assert client.ask_in().status_code == FULL_STATUS
    assert show(lab, cast) == ("gathering", {})
    client.register()
    assert [o["cast"] for o in client.orders()] == [cast]
    assert show(lab, cast) == stored(lab, cast) == ("gathering", {client.id: "ordered"})


@pytest.mark.parametrize("kind", [CastRow, PartRow])
def test_a_retry_that_could_not_be_written_is_asked_for_again(
    lab: ServerLab, database: Faint, kind: type[CastRow | PartRow]
) -> None:
    cast, (client,) = running(lab)
    client.report("failed", cast=cast)
    client.orders()
    database.kind, database.left = kind, 1
    assert ask(lab, f"/casts/{cast}/retry") == FULL_STATUS
    lab.casts.tick()
    wait_closed(lab)
    assert show(lab, cast) == stored(lab, cast) == ("failed", {client.id: "failed"})
    assert client.orders() == []
    assert all(image.closed for image in lab.library.opened)
    lab.operator("POST", f"/casts/{cast}/retry")
    assert show(lab, cast) == stored(lab, cast) == ("running", {client.id: "ordered"})


# -- what a machine's disk has


def test_a_loss_on_a_disk_that_could_not_be_written_is_not_known_yet(
    lab: ServerLab, database: Faint
) -> None:
    cast, (client,) = running(lab)
    memory = lab.casts.durables
    memory.remember(client.id, "wwn-1", ROOT, ChunkSet.numbered(3, [0, 1]))
    less = {"target": "wwn-1", "held": b64encode(ChunkSet.numbered(3, [1]).encode()).decode()}
    path = f"/api/v1/casts/{cast}/durable"
    database.kind, database.left = DurableRow, 1
    for status in (FULL_STATUS, 200):
        assert lab.http.post(path, json=less, headers=client.headers).status_code == status
    assert [row.chunks for row in lab.database.all(DurableRow)] == [ChunkSet.numbered(3, [1]).encode()]


# -- once more


def test_a_cast_that_could_not_go_on_after_a_restart_is_retried(lab: ServerLab) -> None:
    cast, (client,) = running(lab)
    image = lab.library.images.pop("lab")
    lab.restart()
    assert show(lab, cast) == ("failed", {client.id: "failed"})
    lab.library.images["lab"] = image
    client.register()
    lab.operator("POST", f"/casts/{cast}/retry")
    client.join(cast)
    client.report("done", cast=cast, root=ROOT)
    assert show(lab, cast) == ("done", {client.id: "done"})


def test_a_retry_of_nobody_is_nobody(lab: ServerLab) -> None:
    cast, (client,) = running(lab)
    client.report("failed", cast=cast)
    assert ask(lab, f"/casts/{cast}/retry", {"clients": []}) == 403
    assert show(lab, cast) == ("failed", {client.id: "failed"})
    assert ask(lab, f"/casts/{cast}/retry", {"clients": None}) == 200
    assert show(lab, cast) == ("running", {client.id: "ordered"})


def test_a_shelf_that_takes_its_time_at_a_retry_holds_up_no_machine(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, (client,) = running(lab)
    client.report("failed", cast=cast)
    lock, free = lab.clients.lock, list[bool]()
    real = FakeLibrary.open

    def look() -> None:
        free.append(lock.acquire(timeout=5))
        if free[-1]:
            lock.release()

    def open_slowly(library: FakeLibrary, name: str, root: str = "") -> LibraryImage:
        other = threading.Thread(target=look)
        other.start()
        other.join()
        return real(library, name, root)

    monkeypatch.setattr(FakeLibrary, "open", open_slowly)
    lab.casts.retry(lab.casts.get(cast))
    assert free == [True]
    assert show(lab, cast) == ("running", {client.id: "ordered"})


# -- off the air


def test_an_image_that_hangs_as_it_closes_holds_up_nobody(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, closed = threading.Event(), FakeImage.close

    def hang(image: FakeImage) -> None:
        assert let_go.wait(20)
        closed(image)

    monkeypatch.setattr(FakeImage, "close", hang)
    client = FakeClient(lab, 1).register()
    client.join(first := create(lab))
    lab.operator("POST", f"/casts/{first}/cancel")
    client.report("ready")
    lab.casts.tick()
    client.join(create(lab))
    assert [s.slot for s in lab.senders] == [0, 1], "its slot stays taken"
    assert [image.closed for image in lab.library.opened] == [False, False]
    let_go.set()
    wait_closed(lab)
    assert [image.closed for image in lab.library.opened] == [True, False]
    other = FakeClient(lab, 2).register()
    other.join(create(lab, clients=[other.id]))
    assert lab.senders[-1].slot == 0


def test_the_image_of_a_sender_that_does_not_stop_well_is_closed(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _ = running(lab)
    sender = lab.senders[0]

    def fail(*, abort: bool) -> None:
        raise OSError(f"no socket any more, {abort}")

    monkeypatch.setattr(sender, "stop", fail)
    lab.operator("POST", f"/casts/{cast}/cancel")
    wait_closed(lab)
    assert lab.library.opened[0].closed
    assert lab.casts._runs._closing == {}


def test_a_cast_that_ends_as_its_rate_is_noted_harms_nothing(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _ = running(lab)
    ended = lab.casts.get(cast)
    runs = [ended.run]
    found = property(lambda _: runs.pop() if runs else None, lambda *_: None)
    monkeypatch.setattr(Cast, "run", found, raising=False)
    lab.parts.note_rates()
    assert runs == []


def test_the_fault_is_told(lab: ServerLab, database: Faint) -> None:
    cast, _ = running(lab)
    database.left = 1
    answer = lab.http.post(f"/api/v1/casts/{cast}/pause", headers=OPERATOR)
    assert answer.json()["error"] == FULL

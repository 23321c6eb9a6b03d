"""What the server remembers of machines' disks: over restarts, per image, until the cast is proven."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from castcore.cast.chunkset import ChunkSet
from castcore.errors import BadPacket
from castserver.casts import durables
from castserver.database.tables import DurableRow

from tests.support import databases
from tests.support.serverlab import ROOT, FakeClient, ServerLab


def some(*chunks: int, count: int) -> bytes:
    return ChunkSet.numbered(count, chunks).encode()


def told(client: FakeClient, cast: str, held: bytes, target: str = "wwn-1") -> int:
    body = {"target": target, "held": b64encode(held).decode()}
    path = f"/api/v1/casts/{cast}/durable"
    status: int = client.lab.http.post(path, json=body, headers=client.headers).status_code
    return status


def recalled(client: FakeClient, cast: str, target: str = "wwn-1") -> bytes:
    answer = client.get(f"/casts/{cast}/durable?target={target}")
    assert answer.status_code == 200
    content: bytes = answer.content
    return content


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    return ServerLab(databases.at(tmp_path / "server.sqlite"))


def chunk_count(lab: ServerLab) -> int:
    return lab.library.open("lab").chunk_count


def create(lab: ServerLab, image: str = "lab") -> str:
    cast: str = lab.operator("POST", "/casts", {"image": image, "start_clients": 2})["cast"]
    return cast


def test_what_was_told_is_recalled_after_a_restart_of_the_server(lab: ServerLab) -> None:
    count = chunk_count(lab)
    client, cast = FakeClient(lab, 1).register(), create(lab)
    assert recalled(client, cast) == b""
    assert told(client, cast, b"") == 200
    assert told(client, cast, some(0, count=count)) == 200
    lab.casts.durables.save()
    lab.restart()
    client.register()
    assert recalled(client, cast) == some(0, count=count)
    assert recalled(client, cast, "wwn-2") == b""
    assert recalled(FakeClient(lab, 2).register(), cast) == b""


def test_another_image_on_the_disk_ends_the_first_ones_claim_at_once(lab: ServerLab) -> None:
    count = chunk_count(lab)
    client, first, second = FakeClient(lab, 1).register(), create(lab), create(lab, "office")
    told(client, first, some(0, count=count))
    assert recalled(client, second) == b""
    told(client, second, b"")
    lab.restart()  # nothing was saved but what takes something back
    client.register()
    assert recalled(client, first) == b""


def test_growth_waits_for_others_and_loss_does_not(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durables, "SAVE_SECONDS", 1000.0)
    memory = lab.casts.durables
    client = FakeClient(lab, 1).register()

    def stored() -> list[bytes]:
        return [row.chunks for row in lab.database.all(DurableRow)]

    def tell(*chunks: int) -> None:
        memory.remember(client.id, "wwn-1", ROOT, ChunkSet.numbered(9, chunks))

    tell(1)
    assert stored() == [some(1, count=9)]
    tell(1, 2)
    assert stored() == [some(1, count=9)]
    tell(2)
    assert stored() == [some(2, count=9)]
    tell(2, 3)
    memory.save()
    assert stored() == [some(2, 3, count=9)]


def test_a_proven_disk_is_forgotten(lab: ServerLab) -> None:
    client, cast = FakeClient(lab, 1).register(), create(lab)
    client.join(cast)
    told(client, cast, some(0, count=chunk_count(lab)))
    FakeClient(lab, 2).register().join(cast)
    client.report("done", cast=cast, root=ROOT)
    assert recalled(client, cast) == b""
    lab.restart()
    client.register()
    assert recalled(client, cast) == b""


def test_nonsense_and_strangers_are_refused(lab: ServerLab) -> None:
    client, cast = FakeClient(lab, 1).register(), create(lab)
    assert told(client, cast, b"nonsense") == 422
    assert told(client, cast, some(0, count=9999)) == 422
    assert told(client, cast, b"", target="") == 422
    assert told(client, cast, b"", target="x" * 1100) == 422
    assert told(client, "nocast", b"") == 404
    client.token = "another"
    assert told(client, cast, b"") == 401
    with pytest.raises(BadPacket):
        ChunkSet.decode(b"", 9)

"""The start of a cast is when its machines' disks are at stake: what they boot is decided then."""

from __future__ import annotations

import pytest
from castcore.boot import BootDecision

from tests.support.serverlab import FakeClient, ServerLab


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def create(lab: ServerLab, start_clients: int) -> str:
    wish = {"image": "lab", "start_clients": start_clients}
    cast: str = lab.operator("POST", "/casts", wish)["cast"]
    return cast


def test_a_cast_cancelled_before_its_start_leaves_what_a_machine_boots(lab: ServerLab) -> None:
    one, two = (FakeClient(lab, number).register() for number in (1, 2))
    for client in (one, two):
        lab.clients.set_boots(lab.clients.get(client.id), BootDecision.LOCAL)
    cast = create(lab, start_clients=3)
    one.join(cast)
    assert lab.clients.get(one.id).boots is BootDecision.LOCAL, "its disk is as it was"
    lab.operator("POST", f"/casts/{cast}/cancel")
    assert lab.clients.get(one.id).boots is BootDecision.LOCAL
    assert lab.operator("GET", f"/casts/{cast}")["started"] is None


def test_the_start_decides_what_those_who_joined_boot(lab: ServerLab) -> None:
    one, two = (FakeClient(lab, number).register() for number in (1, 2))
    for client in (one, two):
        lab.clients.set_boots(lab.clients.get(client.id), BootDecision.LOCAL)
    cast = create(lab, start_clients=3)
    one.join(cast)
    lab.operator("POST", f"/casts/{cast}/start")
    assert lab.clients.get(one.id).boots is BootDecision.CLIENT
    assert lab.clients.get(two.id).boots is BootDecision.LOCAL
    two.join(cast)
    assert lab.clients.get(two.id).boots is BootDecision.CLIENT


def test_a_retry_starts_a_cast_that_never_was(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    client.join(cast := create(lab, start_clients=2))
    lab.operator("POST", f"/casts/{cast}/cancel")
    client.report("failed", cast=cast, message="cancelled")
    lab.operator("POST", f"/casts/{cast}/retry")
    client.join(cast)
    assert lab.operator("GET", f"/casts/{cast}")["started"] is not None

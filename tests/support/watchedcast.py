"""Casts of a :class:`ServerLab` in any state that a page shall show: what senders and clients report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from castcore.cast.states import ClientClass, SenderState
from castcore.cast.status import CastStatus, ClientStatus
from castcore.control import ClientState, Report
from castserver.casts.castmodel import Request
from castserver.casts.policy import CastRules, CastState

from tests.support.serverlab import FakeClient, ServerLab, registration

SEEN = ClientStatus("", ClientClass.OK, 98_000_000, 0.4, 200.0, 40, 100, 50_000, 0, 0, 0, done=False)


def gathered(lab: ServerLab, machines: int) -> tuple[str, list[FakeClient]]:
    """A cast that ``machines`` have joined."""
    clients = [FakeClient(lab, n).register() for n in range(1, machines + 1)]
    cast = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    for client in clients:
        client.join(cast)
    return cast, clients


def seen(client: FakeClient, **changed: Any) -> ClientStatus:
    """``client`` as a sender sees it."""
    return replace(SEEN, client=client.id, **changed)


def casting(lab: ServerLab, cast: str, *clients: ClientStatus, sent: int = 1000) -> None:
    """The sender of ``cast`` reports ``clients``."""
    status = CastStatus(
        SenderState.PASS, 110_000_000, sent, sent // 10, 1, 40, clients, "", 9 << 30, 200.0
    )
    lab.senders[-1].status = lambda: status  # type: ignore[method-assign]
    if lab.casts.get(cast).state is CastState.GATHERING:
        lab.operator("POST", f"/casts/{cast}/start")
    lab.clients.changed.fire()


def crowd(lab: ServerLab, machines: int, **changed: Any) -> tuple[str, list[str]]:
    """A cast to many ``machines``, which all receive; made without the network's calls."""
    cast = lab.casts.create(Request("lab", CastRules(None)))
    clients = [lab.clients.register(registration(n))[0] for n in range(machines)]
    for client in clients:
        lab.casts.offer(client)
        lab.casts.joined(cast, client.id)
    lab.casts.start(cast)
    assert cast.run is not None
    states = tuple(replace(SEEN, client=client.id, **changed) for client in clients)
    status = CastStatus(SenderState.PASS, 110_000_000, 1000, 100, 1, 40, states, "", 9 << 30, 200.0)
    cast.run.status = lambda: status  # type: ignore[method-assign]
    for client in clients:
        receives(lab, cast.id, client.id, 40)
    return cast.id, [client.id for client in clients]


def receives(lab: ServerLab, cast: str, client: str, share: float) -> None:
    """The machine has so much percent."""
    report = Report(ClientState.RECEIVING, cast, done=int(share * 1000), total=100_000)
    lab.casts.get(cast).parts[client].report = lab.clients.get(client).report = report

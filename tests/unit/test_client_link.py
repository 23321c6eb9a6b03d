"""What client and server say to each other, against a server made of canned answers."""

from __future__ import annotations

from typing import Any

import pytest
from castclient.link import Forgotten, NotAdmitted, ServerLink
from castcore.control import (
    CONTROL,
    ClientState,
    Machine,
    Order,
    OrderKind,
    Registration,
    Report,
    Standing,
)
from castcore.edge.cast.discovery import FoundServer
from castcore.errors import FleetcastError, NetworkFailed, NotFound, Refused
from castcore.proof import Prover
from castcore.trust import SigningKey

SERVER = FoundServer("https://192.0.2.1:8443", bytes(32), bytes(32), "shop", "eth0")
KEY = SigningKey(bytes(32))
REGISTRATION = Registration(Machine(""), (), (), "0.1")
ORDER = Order(3, OrderKind.CAST, "c1")


class Canned:
    """Stands in for PinnedHttps: returns or raises what it was given, in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.said: list[Any] = []
        self.prover: Prover | None = None

    def get_json(self, path: str, *, timeout: float) -> Any:
        assert timeout > 20
        return self._next(path)

    def post_json(self, path: str, value: Any, *, timeout: float = 1.0) -> Any:
        assert isinstance(value, dict)
        assert timeout > 0
        self.said.append(value)
        return self._next(path)

    def _next(self, path: str) -> Any:
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, FleetcastError):
            raise answer
        return answer


def admitted(client: str, token: str) -> dict[str, str]:
    return {"client": client, "token": token, "nonce": "ab"}


def link(*answers: Any) -> tuple[ServerLink, Canned]:
    subject, https = ServerLink(SERVER, KEY), Canned(admitted("m1", "t1"), *answers)
    subject._https = subject._door = https  # type: ignore[assignment]
    assert subject.register(REGISTRATION).client == "m1"
    return subject, https


def test_registering_takes_the_token_and_tells_the_key() -> None:
    _, https = link()
    assert https.prover is not None
    assert (https.prover.token, https.prover.nonce) == ("t1", "ab")
    assert https.said[0]["key"] == KEY.public.hex()
    assert https.said[0]["control"] == CONTROL


@pytest.mark.parametrize("standing", [s for s in Standing if s is not Standing.ADMITTED])
def test_who_is_not_let_in_has_no_token(standing: Standing) -> None:
    subject, https = ServerLink(SERVER, KEY), Canned({"client": "m1", "token": "", "standing": standing})
    subject._https = subject._door = https  # type: ignore[assignment]
    with pytest.raises(NotAdmitted) as refused:
        subject.register(REGISTRATION)
    assert refused.value.standing is standing
    assert subject.client == ""


@pytest.mark.parametrize("answer", [{"client": "m1", "token": "t1"}, Refused("the client is older")])
def test_a_server_of_another_version_is_named(answer: Any) -> None:
    subject, https = ServerLink(SERVER, KEY), Canned(answer)
    subject._https = subject._door = https  # type: ignore[assignment]
    with pytest.raises(NotAdmitted, match="older") as refused:
        subject.register(REGISTRATION)
    assert refused.value.standing is Standing.REFUSED


def test_an_order_is_asked_for_once() -> None:
    subject, https = link({"orders": [ORDER.to_json()]}, {"orders": []})
    assert subject.next_orders() == [ORDER]
    assert subject.next_orders() == []
    assert [path.partition("?")[2] for path in https.asked[1:]] == [
        "after=0&wait=20",
        "after=3&wait=20",
    ]


def test_after_registering_again_old_orders_stay_seen() -> None:
    subject, https = link({"orders": [ORDER.to_json()]}, admitted("m1", "t2"), {"orders": []})
    subject.next_orders()
    subject.register(REGISTRATION)
    subject.next_orders()
    assert https.asked[-1].endswith("after=3&wait=20")
    assert https.prover is not None
    assert https.prover.token == "t2"


def test_another_identity_starts_at_its_first_order() -> None:
    subject, https = link({"orders": [ORDER.to_json()]}, admitted("m2", "t2"), {"orders": []})
    subject.next_orders()
    subject.register(REGISTRATION)
    subject.next_orders()
    assert https.asked[-1].endswith("clients/m2/orders?after=0&wait=20")


@pytest.mark.parametrize("error", [NotFound("who?"), Refused("token")])
def test_a_server_that_does_not_know_us_means_register_again(error: FleetcastError) -> None:
    subject, _ = link(error, error)
    with pytest.raises(Forgotten):
        subject.next_orders()
    with pytest.raises(Forgotten):
        subject.report(Report(ClientState.READY))


@pytest.mark.parametrize("answer", [None, [], {}, {"orders": 5}, {"orders": [{"number": "x"}]}])
def test_nonsense_is_a_network_failure(answer: Any) -> None:
    subject, _ = link(answer)
    with pytest.raises(NetworkFailed):
        subject.next_orders()

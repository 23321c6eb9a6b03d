"""The operator's say over addresses, by REST, and what of it outlives the server."""

from __future__ import annotations

import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import Lease, LeaseState
from castserver.netboot import leasebook, leaseroutes
from starlette.routing import Route

from tests.support import databases
from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

ONE, TWO = "52:54:00:00:00:01", "52:54:00:00:00:02"
ADDRESS = "10.0.1.20"
CALLS = [
    (method, route.path)
    for route in leaseroutes.routes.routes
    if isinstance(route, Route)
    for method in sorted(route.methods or ())
]


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    return ServerLab(databases.at(tmp_path / "server.sqlite"))


def reserve(lab: ServerLab, mac: str, address: str) -> Any:
    body = {"mac": mac, "address": address}
    return lab.http.post("/api/v1/reservations", json=body, headers=OPERATOR)


def reservations(lab: ServerLab) -> list[tuple[str, str]]:
    return [(r["mac"], r["address"]) for r in lab.operator("GET", "/reservations")]


def test_there_are_calls() -> None:
    assert len(CALLS) >= 6


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_only_the_operator_decides_on_addresses(lab: ServerLab, method: str, path: str) -> None:
    client = FakeClient(lab, 1).register()
    for headers in ({}, client.headers):
        answer = lab.http.request(method, path.format(mac=ONE), headers=headers, json={})
        assert answer.status_code == 401, answer.text


def test_a_reservation_is_kept_over_a_restart_and_can_be_changed_and_taken_back(lab: ServerLab) -> None:
    assert reserve(lab, "52-54-00-00-00-01", ADDRESS).json() == {"mac": ONE, "address": ADDRESS}
    assert reserve(lab, TWO, "169.254.9.9").is_success
    lab.restart()
    assert reservations(lab) == [(ONE, ADDRESS), (TWO, "169.254.9.9")]
    assert lab.leases.rules().reservations[ONE] == IPv4Address(ADDRESS)
    assert reserve(lab, ONE, "10.0.1.21").is_success
    assert reserve(lab, TWO, ADDRESS).is_success  # free again
    lab.operator("POST", f"/reservations/{ONE}/remove", {})
    lab.restart()
    assert reservations(lab) == [(TWO, ADDRESS)]
    again = lab.http.post(f"/api/v1/reservations/{ONE}/remove", json={}, headers=OPERATOR)
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("mac", "address", "says"),
    [
        (ONE, "192.168.0.9", "on no network that we serve"),
        (ONE, "10.0.1.1", "the server's own address"),
        (ONE, "10.0.1.0", "no machine's address"),
        (ONE, "10.0.1.255", "no machine's address"),
        (ONE, "10.0.1.99", f"reserved for {TWO}"),
        ("01:00:5e:00:00:01", ADDRESS, "no machine's MAC"),
        ("ff:ff:ff:ff:ff:ff", ADDRESS, "no machine's MAC"),
        ("00:00:00:00:00:00", ADDRESS, "no machine's MAC"),
        ("52:54:00", ADDRESS, "no machine's MAC"),
        ("pc7", ADDRESS, "no machine's MAC"),
        ("\N{SNOWMAN}", ADDRESS, "no machine's MAC"),
    ],
)
def test_an_address_that_cannot_be_kept_is_refused(
    lab: ServerLab, mac: str, address: str, says: str
) -> None:
    assert reserve(lab, TWO, "10.0.1.99").is_success
    answer = reserve(lab, mac, address)
    assert answer.status_code == 403
    assert says in answer.json()["error"]
    assert reservations(lab) == [(TWO, "10.0.1.99")]


@pytest.mark.parametrize("address", ["10.0.1", "", "10.0.1.300", None, ["a"], "::1", "x" * 10_000])
def test_what_is_no_address_is_malformed(lab: ServerLab, address: Any) -> None:
    assert reserve(lab, ONE, address).status_code == 422


def test_where_no_more_are_kept_one_may_still_be_changed(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasebook, "MOST_RESERVATIONS", 1)
    assert reserve(lab, ONE, ADDRESS).is_success
    assert reserve(lab, TWO, "10.0.1.99").status_code == 403
    assert reserve(lab, ONE, "10.0.1.98").is_success
    assert reservations(lab) == [(ONE, "10.0.1.98")]


def test_the_rule_on_who_gets_a_lease_is_kept(lab: ServerLab) -> None:
    assert lab.operator("GET", "/lease-rule") == {"everyone": False}
    assert lab.operator("POST", "/lease-rule", {"everyone": True}) == {"everyone": True}
    reserve(lab, ONE, ADDRESS)
    lab.restart()
    assert lab.leases.rules().everyone
    lab.operator("POST", "/lease-rule", {"everyone": False})
    assert not lab.leases.rules().everyone
    assert reservations(lab) == [(ONE, ADDRESS)]


def test_leases_are_kept_for_each_interface_and_listed_by_address(lab: ServerLab) -> None:
    now = int(time.time())
    wired, other = lab.leases.on("eth1"), lab.leases.on("eth2")
    one = Lease(IPv4Address("10.0.1.130"), ONE, LeaseState.BOUND, now + 600, booted=True)
    old = Lease(IPv4Address("10.0.1.9"), TWO, LeaseState.BOUND, now - 5)
    squatted = Lease(IPv4Address("10.0.1.131"), "", LeaseState.ASIDE, now + 60)
    wired.keep([one, old, squatted], [])
    other.keep([one], [])
    assert set(wired.kept()) == {one, old, squatted}
    other.keep([], [one.address, old.address])
    lab.restart()
    assert set(lab.leases.on("eth1").kept()) == {one, old, squatted}
    assert not lab.leases.on("eth2").kept()
    listed = lab.operator("GET", "/leases")
    assert [(v["address"], v["mac"], v["state"], v["expires"]) for v in listed] == [
        ("10.0.1.9", TWO, "expired", now - 5),
        ("10.0.1.130", ONE, "leased", now + 600),
        ("10.0.1.131", "", "aside", now + 60),
    ]
    assert {v["interface"] for v in listed} == {"eth1"}


def test_a_reserved_address_may_move_from_one_machine_to_another_at_once(lab: ServerLab) -> None:
    for mac, address in ((ONE, ADDRESS), (ONE, "10.0.1.21"), (TWO, ADDRESS), (ONE, "10.0.1.22")):
        assert reserve(lab, mac, address).is_success
    assert reservations(lab) == [(TWO, ADDRESS), (ONE, "10.0.1.22")]

"""``fleetcast doctor network`` in namespaces: servers, queriers, firewalls, ports, there or not."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from castcore.cast.discovery import PORT as DISCOVERY
from castcore.doctor import Asked, Passage, passage
from castcore.edge import run
from castcore.edge.cast.discoverysockets import answering_socket
from castcore.edge.cast.responder import DiscoveryResponder, OfferFields
from castcore.edge.doctor.querierlook import look_for_querier
from castcore.edge.image.store import STORE_VARIABLE
from castcore.edge.net.interface import find_interface
from castcore.trust import SigningKey
from castserver.state.statedir import STATE_VARIABLE

from tests.net.namespaces import Cable, cable, give_addresses, inside, ip
from tests.support.castlab import ENVIRONMENT

pytestmark = pytest.mark.root

OURS, THEIRS = "10.5.0.1", "10.5.0.2"
DNSMASQ = [
    "dnsmasq",
    "-k",
    "--port=0",
    "--interface=wire0",
    "--bind-interfaces",
    "--conf-file=/dev/null",
    "--dhcp-leasefile=/dev/null",
    "--dhcp-range=10.5.0.100,10.5.0.150",
]
PXE = ["--dhcp-boot=pxelinux.0"]

Findings = dict[str, dict[str, Any]]


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("doctor") as made:
        give_addresses(made, "10.5.0", "fd00:5::")
        yield made


def within(space: str, *words: str, ok: Sequence[int] = (0,)) -> str:
    command = ["ip", "netns", "exec", space, *words]
    return run.run(command, timeout=60, ok=ok, extra_env=ENVIRONMENT).decode()


@contextmanager
def dnsmasq(space: str, *more: str) -> Iterator[int]:
    """A DHCP server there; its process."""
    command = ["ip", "netns", "exec", space, *DNSMASQ, *more]
    with run.started(command) as process:
        listening = f":{67:04X} "
        assert until(lambda: listening in within(space, "cat", "/proc/net/udp"))
        yield process.pid


def until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def doctor(space: str, *more: str, interface: str = "wire0", status: int = 0) -> Findings:
    """The findings by check: of each the worst. Its exit code must be ``status``."""
    command = [sys.executable, "-m", "castserver", "doctor", "network", "--json", "--listen", "2"]
    said = within(space, *command, "--interface", interface, *more, ok=[status])
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[-1]["event"] == ("error" if status else "result")
    found: Findings = {}
    for line in lines:
        worse = ("ok", "warning", "problem").index
        if line["event"] == "finding" and (
            line["check"] not in found or worse(line["level"]) > worse(found[line["check"]]["level"])
        ):
            found[line["check"]] = line
    return found


def test_a_network_without_any_server(wire: Cable) -> None:
    before = within(wire.left, "ip", "-4", "-d", "address", "show", "dev", "wire0")
    found = doctor(wire.left)
    assert {check: f["level"] for check, f in found.items()} == {
        "link": "ok",
        "mtu": "ok",
        "address": "ok",
        "multicast": "ok",
        "querier": "warning",
        "dhcp": "warning",
        "pxe": "ok",
        "cast servers": "ok",
        "ports": "ok",
        "firewall": "ok",
    }
    assert "no DHCP server answers" in found["dhcp"]["what"]
    assert "10.5.0.1/24, fixed" in found["address"]["what"]
    assert "UDP 4011" in found["ports"]["what"]
    # Looking changed nothing.
    assert within(wire.left, "ip", "-4", "-d", "address", "show", "dev", "wire0") == before


def test_without_a_subject_the_server_is_looked_at_and_then_the_network(
    wire: Cable, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    places = {
        STATE_VARIABLE: str(tmp_path / "state"),
        STORE_VARIABLE: str(tmp_path / "images"),
    }
    said = run.run(
        ["ip", "netns", "exec", wire.left, sys.executable, "-m", "castserver", "doctor", "--json"],
        timeout=60,
        ok=[3],
        extra_env=ENVIRONMENT | places,
    ).decode()
    *findings, end = [json.loads(line) for line in said.splitlines()]
    assert {found["subject"] for found in findings} == {"server"}
    # A cable between namespaces is none to it.
    assert "no wired interface" in end["error"]
    assert not (tmp_path / "state").exists()


def test_the_sites_dhcp_server_and_another_cast_server_are_named(wire: Cable) -> None:
    def answers() -> DiscoveryResponder:
        fields = OfferFields(f"https://{THEIRS}:8443", bytes(32), "workshop", ())
        made = DiscoveryResponder(lambda _: fields, SigningKey.generate(), [find_interface("wire0")])
        made.start()
        return made

    other = inside(wire.right, answers)
    try:
        with dnsmasq(wire.right):
            found = doctor(wire.left)
    finally:
        other.stop()
    assert found["dhcp"]["level"] == "ok"
    assert THEIRS in found["dhcp"]["what"]
    assert found["pxe"]["level"] == "ok"
    assert found["cast servers"]["level"] == "warning"
    assert f"workshop (https://{THEIRS}:8443)" in found["cast servers"]["what"]


def test_another_pxe_server_is_a_problem_and_is_named(wire: Cable) -> None:
    with dnsmasq(wire.right, *PXE):
        found = doctor(wire.left, status=9)
    assert found["pxe"]["level"] == "problem"
    assert THEIRS in found["pxe"]["what"]
    assert found["pxe"]["do"]


def test_a_taken_port_is_a_problem_and_its_holder_is_named(wire: Cable) -> None:
    taker = inside(wire.left, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with taker:
        taker.bind(("0.0.0.0", 69))
        found = doctor(wire.left, status=9)
    assert found["ports"]["level"] == "problem"
    assert "UDP 69 (TFTP: the first small boot files) is taken by" in found["ports"]["what"]
    assert f"(process {os.getpid()})" in found["ports"]["what"]


def test_who_hears_discovery_already_is_named_though_we_can_hear_it_too(wire: Cable) -> None:
    with inside(wire.left, lambda: answering_socket("wire0", socket.AF_INET)):
        found = doctor(wire.left)
    assert found["ports"]["level"] == "warning"
    assert f"UDP {DISCOVERY} (" in found["ports"]["what"]
    assert f"(process {os.getpid()})" in found["ports"]["what"]


def test_a_dhcp_server_of_this_host_is_named(wire: Cable) -> None:
    with dnsmasq(wire.left) as process:
        found = doctor(wire.left)
    assert found["ports"]["level"] == "warning"
    assert (
        f'UDP 67 (DHCP, proxy DHCP) is taken by "dnsmasq" (process {process})' in found["ports"]["what"]
    )
    assert "dnsmasq" in found["dhcp"]["what"]


def test_a_link_that_is_down_and_an_interface_that_is_not_there(wire: Cable) -> None:
    ip("-n", wire.right, "link", "set", "wire0", "down")
    found = doctor(wire.left, status=9)
    assert found["link"]["level"] == "problem"
    doctor(wire.left, interface="nosuch0", status=3)


def test_an_interface_without_multicast_and_a_small_mtu_are_problems(wire: Cable) -> None:
    ip("-n", wire.left, "link", "set", "wire0", "multicast", "off")
    ip("-n", wire.left, "link", "set", "wire0", "mtu", "1400")
    found = doctor(wire.left, status=9)
    assert found["mtu"]["level"] == "problem"
    assert found["multicast"]["level"] == "problem"


@pytest.fixture
def hub(wire: Cable) -> Iterator[str]:
    """The cable leads through a switch that snoops, a bridge ``br0`` in a namespace of its own."""
    space = f"fct-doctor-{os.getpid()}-hub"
    ip("netns", "add", space)
    try:
        for name, end in (("left0", wire.left), ("right0", wire.right)):
            ip("-n", end, "link", "delete", "wire0") if end == wire.left else None
            ip("-n", end, "link", "add", "wire0", "type", "veth", "peer", "name", name, "netns", space)
        ip("-n", space, "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
        ip("-n", space, "address", "add", "10.5.0.9/24", "brd", "+", "dev", "br0")
        for name in ("br0", "left0", "right0"):
            ip("-n", space, "link", "set", name, "up")
        for name in ("left0", "right0"):
            ip("-n", space, "link", "set", name, "master", "br0")
        give_addresses(wire, "10.5.0", "fd00:5::")
        yield space
    finally:
        with suppress(run.ProgramFailed):
            ip("netns", "delete", space)


def test_a_host_with_two_legs_in_one_network_does_not_take_itself_for_another_server(
    wire: Cable, hub: str
) -> None:
    ip("-n", wire.left, "link", "add", "leg1", "type", "veth", "peer", "name", "leg", "netns", hub)
    ip("-n", hub, "link", "set", "leg", "master", "br0", "up")
    ip("-n", wire.left, "address", "add", "10.5.0.7/24", "brd", "+", "dev", "leg1")
    ip("-n", wire.left, "link", "set", "leg1", "up")

    def answers() -> DiscoveryResponder:
        fields = OfferFields("https://10.5.0.7:8443", bytes(32), "ourselves", ())
        made = DiscoveryResponder(lambda _: fields, SigningKey.generate(), [find_interface("leg1")])
        made.start()
        return made

    ourselves = inside(wire.left, answers)
    try:
        with dnsmasq(wire.left, "--interface=leg1", *PXE):
            found = doctor(wire.left)
    finally:
        ourselves.stop()
    assert found["cast servers"]["level"] == "ok"
    assert found["pxe"]["level"] == "ok"


def hears_a_querier(space: str) -> bool:
    look = inside(space, lambda: look_for_querier(find_interface("wire0", socket.AF_INET), 4))
    assert look.provoked
    return bool(look.heard)


def test_a_switch_that_snoops_without_a_querier_is_seen_and_one_with_it_too(
    wire: Cable, hub: str
) -> None:
    assert until(lambda: "forwarding" in within(hub, "bridge", "link", "show", "dev", "left0"))
    assert not hears_a_querier(wire.left)
    ip("-n", hub, "link", "set", "br0", "type", "bridge", "mcast_querier", "1")
    # Its first General Query is over: what is heard is the question that we provoked.
    time.sleep(2)
    assert hears_a_querier(wire.left)


def test_a_bridge_of_our_own_without_a_querier_is_a_problem(wire: Cable, hub: str) -> None:
    found = doctor(hub, interface="br0", status=9)
    assert found["querier"]["level"] == "problem"
    assert "mcast_querier 1" in found["querier"]["do"]


RULESETS = {
    "closed": """
        chain input {
            type filter hook input priority 0; policy drop;
        }
    """,
    "a server's": """
        set ours {
            type inet_service; elements = { 67, 7070 }
        }
        chain ours {
            udp dport @ours accept
            tcp dport { 8080, 8443 } accept
        }
        chain input {
            type filter hook input priority 0; policy drop;
            iifname lo accept
            ct state vmap { established : accept, related : accept, invalid : drop }
            iifname wire0 jump ours
        }
    """,
    "by range": """
        chain input {
            type filter hook input priority 0; policy accept;
            meta l4proto udp udp dport 60-70 reject
            tcp dport != 8443 drop
        }
    """,
}
ASKED = [("udp", 67), ("udp", 69), ("udp", DISCOVERY), ("tcp", 8080), ("tcp", 8443)]


def load(space: str, rules: str, tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_text(f"flush ruleset\ntable inet filter {{\n{rules}\n}}\n")
    within(space, "nft", "-f", str(file))


@pytest.mark.parametrize("rules", RULESETS.values(), ids=RULESETS)
def test_what_is_read_from_the_rules_is_what_real_packets_meet(
    wire: Cable, rules: str, tmp_path: Path
) -> None:
    load(wire.left, rules, tmp_path)
    ruleset = json.loads(within(wire.left, "nft", "-j", "list", "ruleset"))
    for protocol, port in ASKED:
        said = passage(ruleset, Asked("wire0", protocol, port)).passage
        real = arrives(wire, protocol, port)
        assert said is (Passage.OPEN if real else Passage.CLOSED), (protocol, port)


def arrives(wire: Cable, protocol: str, port: int) -> bool:
    """Whether a new packet from the other end reaches a program on the ``port``."""
    stream = protocol == "tcp"
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    made = inside(wire.left, lambda: socket.socket(socket.AF_INET, kind))
    with made as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((OURS, port))
        listener.settimeout(0.5)
        if stream:
            listener.listen()

        def ask() -> None:
            with socket.socket(socket.AF_INET, kind) as asker, suppress(OSError):
                asker.settimeout(0.5)
                asker.connect((OURS, port))
                asker.send(b"x")

        inside(wire.right, ask)
        try:
            listener.accept()[0].close() if stream else listener.recv(10)
        except TimeoutError:
            return False
        return True


def test_a_closed_firewall_is_a_problem_until_it_is_opened_as_told(wire: Cable, tmp_path: Path) -> None:
    load(wire.left, RULESETS["closed"], tmp_path)
    told = doctor(wire.left, status=9)["firewall"]
    assert "inet filter input drops UDP 67" in told["what"]
    for line in told["do"].split("`")[1::2]:
        within(wire.left, *shlex.split(line))
    found = doctor(wire.left)
    assert found["firewall"]["level"] == "ok"

"""Which packets nftables' rules let pass, read from a listing; real ones: tests/net/test_doctor.py."""

from __future__ import annotations

from typing import Any

import pytest
from castcore.doctor import Asked, Passage, passage
from castcore.doctor.firewall import Answer

TFTP = Asked("eth1", "udp", 69)
HTTPS = Asked("eth1", "tcp", 8443)
IGMP = Asked("eth1", "igmp", 0)
Rule = list[dict[str, Any]]
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}


def chain(name: str, policy: str = "", hook: str = "input") -> dict[str, Any]:
    base = {"hook": hook, "policy": policy} if policy else {}
    return {"chain": {"family": "inet", "table": "t", "name": name, **base}}


def rules(name: str, *found: Rule) -> list[dict[str, Any]]:
    return [{"rule": {"family": "inet", "table": "t", "chain": name, "expr": one}} for one in found]


def listing(*found: Rule, policy: str = "drop", **others: tuple[Rule, ...]) -> dict[str, Any]:
    """A table with the input chain ``in`` of these rules, and ``others`` that it may jump to."""
    entries = [chain("in", policy), *rules("in", *found)]
    for name, inner in others.items():
        entries += [chain(name), *rules(name, *inner)]
    return {"nftables": [{"metainfo": {}}, *entries]}


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def port(protocol: str, right: Any, op: str = "==") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right, op)


def xt(target: str) -> dict[str, Any]:
    return {"xt": {"type": "target", "name": target}}


def iif(right: Any, op: str = "==") -> dict[str, Any]:
    return match({"meta": {"key": "iifname"}}, right, op)


def states(*right: str) -> dict[str, Any]:
    return match({"ct": {"key": "state"}}, list(right), "in")


SENDER = match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.5")
OPEN, CLOSED, UNSURE = Passage.OPEN, Passage.CLOSED, Passage.UNSURE

CASES: list[tuple[str, dict[str, Any], Asked, Passage]] = [
    ("no rules", {"nftables": []}, TFTP, OPEN),
    ("policy accept", listing(policy="accept"), TFTP, OPEN),
    ("policy drop", listing(), TFTP, CLOSED),
    ("its port", listing([port("udp", 69), ACCEPT]), TFTP, OPEN),
    ("another port", listing([port("udp", 67), ACCEPT]), TFTP, CLOSED),
    ("another protocol", listing([port("tcp", 69), ACCEPT]), TFTP, CLOSED),
    ("not that port, of another protocol", listing([port("tcp", 22, "!="), ACCEPT]), TFTP, CLOSED),
    ("a set", listing([port("udp", {"set": [67, {"range": [60, 70]}]}), ACCEPT]), TFTP, OPEN),
    ("a range beside it", listing([port("udp", {"range": [70, 80]}), ACCEPT]), TFTP, CLOSED),
    ("its interface", listing([iif("eth*"), ACCEPT]), HTTPS, OPEN),
    ("another interface", listing([iif("lo"), ACCEPT]), HTTPS, CLOSED),
    ("all interfaces but one", listing([iif("eth1", "!="), DROP], policy="accept"), HTTPS, OPEN),
    ("old connections", listing([states("established", "related"), ACCEPT]), HTTPS, CLOSED),
    ("new connections", listing([states("new"), ACCEPT]), HTTPS, OPEN),
    (
        "its protocol",
        listing([match({"meta": {"key": "l4proto"}}, {"set": ["udp", "tcp"]}), ACCEPT]),
        TFTP,
        OPEN,
    ),
    (
        "igmp",
        listing([match({"payload": {"protocol": "ip", "field": "protocol"}}, "igmp"), ACCEPT]),
        IGMP,
        OPEN,
    ),
    ("udp is no igmp", listing([port("udp", {"range": [0, 65535]}), ACCEPT]), IGMP, CLOSED),
    ("rejected", listing([{"reject": None}], policy="accept"), TFTP, CLOSED),
    ("one sender", listing([SENDER, ACCEPT]), TFTP, UNSURE),
    (
        "a set with what cannot be read",
        listing([port("udp", {"set": [67, {"odd": 1}]}), ACCEPT]),
        TFTP,
        UNSURE,
    ),
    (
        "not one of a set that cannot be read",
        listing([port("udp", [{"odd": 1}], "!="), DROP], policy="accept"),
        TFTP,
        UNSURE,
    ),
    ("a set that is not listed", listing([port("udp", "@gone"), DROP], policy="accept"), TFTP, UNSURE),
    (
        "it is in a set beside what cannot be read",
        listing([port("udp", {"set": [{"odd": 1}, 69]}), ACCEPT]),
        TFTP,
        OPEN,
    ),
    (
        "a map with a key that cannot be read",
        listing(
            [
                {
                    "vmap": {
                        "key": {"payload": {"protocol": "udp", "field": "dport"}},
                        "data": {"set": [[{"odd": 1}, DROP]]},
                    }
                }
            ],
            policy="accept",
        ),
        TFTP,
        UNSURE,
    ),
    ("one sender, then all", listing([SENDER, ACCEPT], [ACCEPT]), TFTP, OPEN),
    ("a rate", listing([{"limit": {"rate": 5}}, ACCEPT]), TFTP, UNSURE),
    ("another program's match", listing([{"xt": None}, ACCEPT]), TFTP, UNSURE),
    ("iptables' REJECT", listing([xt("REJECT")], policy="accept"), TFTP, UNSURE),
    ("an unnamed target", listing([{"xt": None}], policy="accept"), TFTP, UNSURE),
    ("iptables' LOG", listing([xt("LOG")], policy="accept"), TFTP, OPEN),
    ("a jump that accepts", listing([{"jump": {"target": "a"}}], a=([ACCEPT],)), TFTP, OPEN),
    (
        "a jump that returns",
        listing([{"jump": {"target": "a"}}], [ACCEPT], a=([{"return": None}], [DROP])),
        TFTP,
        OPEN,
    ),
    ("a goto ends the chain", listing([{"goto": {"target": "a"}}], [ACCEPT], a=()), TFTP, CLOSED),
    (
        "a jump to itself",
        listing([{"jump": {"target": "a"}}], a=([{"jump": {"target": "a"}}],)),
        TFTP,
        CLOSED,
    ),
    (
        "a map of states",
        listing(
            [
                {
                    "vmap": {
                        "key": {"ct": {"key": "state"}},
                        "data": {"set": [["established", ACCEPT], ["invalid", DROP]]},
                    }
                }
            ],
            [port("udp", 69), ACCEPT],
        ),
        TFTP,
        OPEN,
    ),
    (
        "a map of interfaces",
        listing(
            [
                {
                    "vmap": {
                        "key": {"meta": {"key": "iifname"}},
                        "data": {"set": [["lo", ACCEPT], ["eth1", {"jump": {"target": "a"}}]]},
                    }
                }
            ],
            a=([port("udp", 69), ACCEPT],),
        ),
        TFTP,
        OPEN,
    ),
]


@pytest.mark.parametrize(
    ("ruleset", "asked", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_the_fate_of_a_packet(ruleset: dict[str, Any], asked: Asked, wanted: Passage) -> None:
    assert passage(ruleset, asked).passage is wanted


def test_every_chain_at_the_input_must_let_it_pass_and_others_do_not_count() -> None:
    ruleset = listing([ACCEPT])
    ruleset["nftables"] += [chain("second", "drop")]
    assert passage(ruleset, TFTP) == Answer(CLOSED, "inet t second")
    ruleset = listing([ACCEPT])
    ruleset["nftables"] += [chain("out", "drop", hook="output"), chain("way", "drop", hook="forward")]
    assert passage(ruleset, TFTP).passage is OPEN


def test_a_named_set_is_looked_up() -> None:
    ruleset = listing([port("udp", "@ours"), ACCEPT])
    ruleset["nftables"].append(
        {"set": {"family": "inet", "table": "t", "name": "ours", "elem": [67, 69]}}
    )
    assert passage(ruleset, TFTP).passage is OPEN
    assert passage(ruleset, Asked("eth1", "udp", 70)).passage is CLOSED

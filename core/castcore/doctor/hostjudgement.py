"""What the facts of the whole host mean: ports, firewall, and how its interfaces go together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from castcore.doctor.facts import HostFacts, PortFact
from castcore.doctor.findings import Finding, Level
from castcore.doctor.firewall import Answer, Asked, Passage, passage
from castcore.doctor.ports import Port

HOST = "host"
# It can be listened to by raw packets though another has it.
DHCP_PORT = 67


def judge_host(facts: HostFacts) -> tuple[Finding, ...]:
    """All findings about the host, its ports on every interface included."""
    return (
        *(found for own in facts.interfaces for found in _ports(own.name, own.ports)),
        *_firewall(facts),
        *_shared_subnets(facts),
    )


def _ports(subject: str, ports: tuple[PortFact, ...]) -> Iterator[Finding]:
    free = [_first(fact.port) for fact in ports if not fact.taken]
    ours = [_first(fact.port) for fact in ports if fact.taken and fact.ours]
    if free:
        yield Finding(Level.OK, subject, "ports", f"free: {', '.join(free)}")
    if ours:
        yield Finding(Level.OK, subject, "ports", f"held by our own server: {', '.join(ours)}")
    for fact in ports:
        if fact.taken and not fact.ours:
            beside = fact.shared or fact.port.first == DHCP_PORT
            yield Finding(
                Level.WARNING if beside else Level.PROBLEM,
                subject,
                "ports",
                f"{_first(fact.port)} ({fact.port.use}) is taken by {fact.taken}",
                _remedy(fact),
            )


def _first(port: Port) -> str:
    """Of a span only the first is tried."""
    return f"{port.protocol.upper()} {port.first}"


def _remedy(fact: PortFact) -> str:
    port = fact.port
    if fact.shared:
        return (
            "both hear what is sent to its groups; stop that program if machines do not find the server"
        )
    if port.first == DHCP_PORT:
        return "proxy DHCP listens beside that program; our own DHCP server would need the port"
    if port.setting:
        return f"stop that program, or give `fleetcast serve` another {port.setting}"
    return "stop that program" + (", or boot nothing here (--boot-mode off)" if port.booting else "")


def _firewall(facts: HostFacts) -> Iterator[Finding]:
    if facts.ruleset is None:
        yield Finding(
            Level.WARNING,
            HOST,
            "firewall",
            f"its rules could not be read: {facts.unread}",
            "see that the ports of docs/network.md are open",
        )
        return
    answers = {
        (own.name, port): passage(facts.ruleset, Asked(own.name, port.protocol, port.first))
        for own in facts.interfaces
        for port in facts.wanted
    }
    shut = list(_passages(answers, Passage.CLOSED))
    for name, chain, ports in shut:
        yield Finding(
            Level.PROBLEM,
            name,
            "firewall",
            f"the chain {chain} drops {', '.join(p.name for p in ports)}",
            f"open them: {nft_line(chain, name, ports)}",
        )
    for name, chain, ports in _passages(answers, Passage.UNSURE):
        yield Finding(
            Level.WARNING,
            name,
            "firewall",
            f"the chain {chain} may drop {', '.join(p.name for p in ports)}",
            "look at it: it depends on what cannot be told beforehand (sender, rate, helper tables)",
        )
    if all(answer.passage is Passage.OPEN for answer in answers.values()):
        yield Finding(Level.OK, HOST, "firewall", "nftables lets our ports pass")


def _passages(
    answers: dict[tuple[str, Port], Answer], wanted: Passage
) -> Iterator[tuple[str, str, list[Port]]]:
    """Interface, chain and ports of those answers that are ``wanted``, by interface and chain."""
    found: dict[tuple[str, str], list[Port]] = {}
    for (name, port), answer in answers.items():
        if answer.passage is wanted:
            found.setdefault((name, answer.chain), []).append(port)
    for (name, chain), ports in found.items():
        yield name, chain, ports


def nft_line(chain: str, interface: str, ports: list[Port]) -> str:
    """Commands that let ``ports`` in by ``interface``, at the head of ``chain``."""
    commands = []
    for protocol in dict.fromkeys(port.protocol for port in ports):
        spans = [
            f"{p.first}-{p.last}" if p.first != p.last else f"{p.first}"
            for p in ports
            if p.protocol == protocol
        ]
        match = (
            f"{protocol} dport {{ {', '.join(spans)} }}" if spans != ["0"] else f"ip protocol {protocol}"
        )
        commands.append(f"`nft insert rule {chain} iifname {interface} {match} accept`")
    return ", ".join(commands)


def _shared_subnets(facts: HostFacts) -> Iterator[Finding]:
    for one, other in combinations(facts.interfaces, 2):
        networks = {own.network for own in one.addresses} & {own.network for own in other.addresses}
        if networks:
            yield Finding(
                Level.WARNING,
                HOST,
                "interfaces",
                f"{one.name} and {other.name} are both in {min(networks)}: which carries what is chance",
                "bond them, or use one of them only",
            )

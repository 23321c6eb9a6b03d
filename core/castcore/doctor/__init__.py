"""What is wrong with a network that is to be cast and booted through: facts in, findings out."""

from castcore.doctor.facts import (
    Bridge,
    Caster,
    HostFacts,
    InterfaceFacts,
    PortFact,
    Querying,
)
from castcore.doctor.findings import Finding, Level
from castcore.doctor.firewall import Asked, Passage, passage
from castcore.doctor.hostjudgement import judge_host
from castcore.doctor.judgement import judge_interface
from castcore.doctor.ports import PORTS, Port

__all__ = [
    "PORTS",
    "Asked",
    "Bridge",
    "Caster",
    "Finding",
    "HostFacts",
    "InterfaceFacts",
    "Level",
    "Passage",
    "Port",
    "PortFact",
    "Querying",
    "judge_host",
    "judge_interface",
    "passage",
]

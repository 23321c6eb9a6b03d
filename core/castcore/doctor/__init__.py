"""What is wrong with a network, or a server, that is to cast and boot: facts in, findings out."""

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
from castcore.doctor.serverfacts import (
    CertificateFact,
    DatabaseFact,
    FolderFact,
    ServerFacts,
    Space,
    StateFact,
    TreeFact,
)
from castcore.doctor.serverjudgement import judge_server

__all__ = [
    "PORTS",
    "Asked",
    "Bridge",
    "Caster",
    "CertificateFact",
    "DatabaseFact",
    "Finding",
    "FolderFact",
    "HostFacts",
    "InterfaceFacts",
    "Level",
    "Passage",
    "Port",
    "PortFact",
    "Querying",
    "ServerFacts",
    "Space",
    "StateFact",
    "TreeFact",
    "judge_host",
    "judge_interface",
    "judge_server",
    "passage",
]

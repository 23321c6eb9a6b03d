"""What the interfaces of a lab do with segments: without it no figure of a lab means anything."""

from __future__ import annotations

from castcore.edge import run

from tests.support.castlab import WIRE, CastLab

# The names of ethtool(8) -k, and short ones.
FEATURES = {
    "tx-udp-segmentation": "udp-gso",
    "tcp-segmentation-offload": "tso",
    "generic-segmentation-offload": "gso",
    "generic-receive-offload": "gro",
}


def offloads(lab: CastLab) -> list[str]:
    """A line for each group of interfaces that are set alike."""
    numbers = range(lab.receivers)
    places = [("s", WIRE), ("hub", "s"), *(("hub", f"r{i}") for i in numbers)]
    places += [(f"r{i}", WIRE) for i in numbers]
    groups: dict[str, list[str]] = {}
    for space, device in places:
        groups.setdefault(_state(lab, space, device), []).append(f"{space}/{device}")
    return [f"{', '.join(names)}: {state}" for state, names in groups.items()]


def _state(lab: CastLab, space: str, device: str) -> str:
    command = ["ip", "netns", "exec", lab.space(space), "ethtool", "-k", device]
    lines = (line.strip().split(": ") for line in run.run(command, timeout=20.0).decode().splitlines())
    found = {line[0]: line[1].split()[0] for line in lines if len(line) == 2 and line[1]}
    return ", ".join(f"{short} {found.get(name, '?')}" for name, short in FEATURES.items())

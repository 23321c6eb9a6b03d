"""Whether a packet that comes in would pass nftables' rules (nft(8), libnftables-json(5)).

Three answers: some matches (who sends, how often, a program's own tables) cannot be told beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

# Rules that jump in circles are refused by the kernel; this ends a damaged listing.
DEEPEST = 16
_ANOTHER = ("another protocol",)
_NUMBERS = {"tcp": 6, "udp": 17, "igmp": 2}


class Passage(Enum):
    """The fate of a packet."""

    OPEN = "open"
    CLOSED = "closed"
    UNSURE = "unsure"


class _Fate(Enum):
    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    GO_ON = "go on"


@dataclass(frozen=True)
class Asked:
    """A new packet that comes in by ``interface``; ``port`` 0 for a protocol without ports."""

    interface: str
    protocol: str
    port: int


@dataclass(frozen=True)
class Answer:
    """The ``passage``, and the chain that decided it (``"inet filter input"``), "" when none did."""

    passage: Passage
    chain: str = ""


Chain = tuple[str, str, str]
# Targets of iptables rules (nft shows them as `xt`) after which the next rule is asked.
_GO_ON_TARGETS = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "TRACE"})


def passage(ruleset: Mapping[str, Any], asked: Asked) -> Answer:
    """What becomes of the packet ``asked`` about; every chain at the input must let it pass."""
    rules = _Rules(ruleset)
    unsure = ""
    for chain, policy in rules.inputs():
        fates = rules.walk(chain, asked, DEEPEST)
        if fates & {_Fate.GO_ON, _Fate.RETURN}:
            fates |= {_Fate.DROP if policy == "drop" else _Fate.ACCEPT}
        fates &= {_Fate.ACCEPT, _Fate.DROP}
        if fates == {_Fate.DROP}:
            return Answer(Passage.CLOSED, " ".join(chain))
        if _Fate.DROP in fates:
            unsure = unsure or " ".join(chain)
    return Answer(Passage.UNSURE, unsure) if unsure else Answer(Passage.OPEN)


class _Rules:
    """A listing, by chain. Whatever may become of a packet is a set of fates."""

    def __init__(self, ruleset: Mapping[str, Any]) -> None:
        entries = [e for e in ruleset.get("nftables", []) if isinstance(e, dict)]
        self._chains = [e["chain"] for e in entries if "chain" in e]
        self._sets = {_key(e["set"]): e["set"].get("elem", []) for e in entries if "set" in e}
        self._by_chain: dict[Chain, list[dict[str, Any]]] = {}
        for rule in (e["rule"] for e in entries if "rule" in e):
            self._by_chain.setdefault(_key(rule, "chain"), []).append(rule)

    def inputs(self) -> Iterator[tuple[Chain, str]]:
        """Every chain that the kernel asks of what comes in over IPv4, with its policy."""
        for chain in self._chains:
            if chain.get("hook") == "input" and chain["family"] in ("ip", "inet"):
                yield _key(chain), chain.get("policy", "accept")

    def walk(self, chain: Chain, asked: Asked, depth: int) -> set[_Fate]:
        """How ``chain`` may end for the packet."""
        found: set[_Fate] = set()
        for rule in self._by_chain.get(chain, []) if depth else []:
            fates = self._rule(rule, chain, asked, depth)
            found |= fates - {_Fate.GO_ON}
            if _Fate.GO_ON not in fates:
                return found
        return found | {_Fate.GO_ON}

    def _rule(self, rule: Mapping[str, Any], chain: Chain, asked: Asked, depth: int) -> set[_Fate]:
        perhaps: set[_Fate] = set()
        for expression in rule.get("expr", []):
            fits: bool | None = True
            verdict: Mapping[str, Any] = expression
            if "match" in expression:
                fits = self._match(expression["match"], chain, asked)
            elif "vmap" in expression:
                fits, verdict = self._lookup(expression["vmap"], chain, asked)
            elif "xt" in expression or "limit" in expression:
                fits = None
            if fits is False:
                return {_Fate.GO_ON}
            if fits is None:
                perhaps = {_Fate.GO_ON}
            if verdict.keys() & _VERDICTS:
                return perhaps | self._then(verdict, chain, asked, depth)
        return {_Fate.GO_ON, _Fate.DROP} if _may_reject(rule) else {_Fate.GO_ON}

    def _then(self, verdict: Mapping[str, Any], chain: Chain, asked: Asked, depth: int) -> set[_Fate]:
        """What a verdict comes to: chains that it leads into are walked."""
        for word, fate in _VERDICTS.items():
            if word in verdict and fate is not None:
                return {fate}
        target = verdict.get("jump") or verdict.get("goto") or {}
        fates = self.walk((*chain[:2], str(target.get("target"))), asked, depth - 1)
        if fates & {_Fate.GO_ON, _Fate.RETURN}:
            # After a goto the calling chain is not asked any more: its own end follows.
            fates |= {_Fate.RETURN if "goto" in verdict else _Fate.GO_ON}
            fates -= {_Fate.GO_ON if "goto" in verdict else _Fate.RETURN}
        return fates

    def _match(self, match: Mapping[str, Any], chain: Chain, asked: Asked) -> bool | None:
        value = _value(match.get("left"), asked)
        if value is None:
            return None
        if value is _ANOTHER:
            return False
        fits = self._fits(value, match.get("right"), chain)
        return fits if fits is None or match.get("op") != "!=" else not fits

    def _lookup(
        self, vmap: Mapping[str, Any], chain: Chain, asked: Asked
    ) -> tuple[bool | None, Mapping[str, Any]]:
        """The verdict that a map holds for the packet; False when it holds none."""
        value, data = _value(vmap.get("key"), asked), vmap.get("data")
        if value is None or not isinstance(data, dict):
            return None, {"drop": None}
        fits: bool | None = False
        for key, verdict in data.get("set", []):
            fits = _any([fits, self._fits(value, key, chain)])
            if fits:
                return True, verdict if isinstance(verdict, dict) else {}
        # One of the keys may be it: it may drop, or not.
        return fits, {"drop": None} if fits is None else {}

    def _fits(self, value: Sequence[Any], right: Any, chain: Chain) -> bool | None:
        """Whether one of the spellings ``value`` is, or is in, ``right``."""
        if isinstance(right, str) and right.startswith("@"):
            named = self._sets.get((*chain[:2], right[1:]))
            return None if named is None else self._fits(value, {"set": named}, chain)
        if isinstance(right, list):
            return _any([self._fits(value, one, chain) for one in right])
        if isinstance(right, dict):
            if "set" in right:
                found = right["set"]
                return self._fits(value, found if isinstance(found, list) else [found], chain)
            if "range" in right:
                low, high = right["range"]
                return any(isinstance(v, int) and low <= v <= high for v in value)
            if "elem" in right:
                return self._fits(value, right["elem"].get("val"), chain)
            return None
        if isinstance(right, str) and right.endswith("*"):
            return any(isinstance(v, str) and v.startswith(right[:-1]) for v in value)
        return right in value


def _any(fits: Sequence[bool | None]) -> bool | None:
    """Whether one of them fits; None when none does for certain and one may."""
    if True in fits:
        return True
    return None if None in fits else False


_VERDICTS: dict[str, _Fate | None] = {
    "accept": _Fate.ACCEPT,
    "drop": _Fate.DROP,
    "reject": _Fate.DROP,
    "return": _Fate.RETURN,
    "jump": None,
    "goto": None,
}


def _value(left: Any, asked: Asked) -> tuple[Any, ...] | None:
    """The spellings of what a match looks at in the packet; None when it cannot be told."""
    if not isinstance(left, dict):
        return None
    number = _NUMBERS[asked.protocol]
    match left:
        case {"meta": {"key": "iifname" | "iif"}}:
            return (asked.interface,)
        case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip", "field": "protocol"}}:
            return (asked.protocol, number, str(number))
        case {"meta": {"key": "nfproto"}}:
            return ("ipv4", 2)
        case {"meta": {"key": "protocol"}}:
            return ("ip", 0x0800)
        case {"ct": {"key": "state"}}:
            return ("new",)
        case {"payload": {"protocol": "th", "field": "dport"}}:
            return (asked.port,)
        case {"payload": {"protocol": "tcp" | "udp" as named, "field": "dport"}}:
            return (asked.port,) if named == asked.protocol else _ANOTHER
        case {"payload": {"protocol": named}} if named in ("tcp", "udp", "icmp", "icmpv6", "ip6"):
            return None if named == asked.protocol else _ANOTHER
    return None


def _key(entry: Mapping[str, Any], name: str = "name") -> Chain:
    return str(entry["family"]), str(entry["table"]), str(entry[name])


def _may_reject(rule: Mapping[str, Any]) -> bool:
    """Whether the ``rule`` ends in a target of iptables that may turn the packet away."""
    last = (rule.get("expr") or [{}])[-1]
    if "xt" not in last:
        return False
    target = last["xt"] or {}  # older programs do not say which
    return target.get("type", "target") == "target" and target.get("name") not in _GO_ON_TARGETS

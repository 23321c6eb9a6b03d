"""What a kernel module says of itself, by kmod's ``modinfo``: aliases, kernel, signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from castcore.edge import run
from castcore.errors import Refused

SECONDS = 60


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """One module: ``vermagic`` is the kernel it was built for and that kernel's options; ``signer`` and
    ``key`` (hex, as modinfo prints it) are "" for an unsigned one.
    """

    name: str
    vermagic: str = ""
    licence: str = ""
    version: str = ""
    signer: str = ""
    key: str = ""
    aliases: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()

    @property
    def kernel(self) -> str:
        """The version of the kernel it was built for."""
        return self.vermagic.partition(" ")[0]


def module_facts(path: Path) -> ModuleFacts:
    """What the module file at ``path`` (compressed or not) says. Raises Refused for no module."""
    try:
        said = run.run(["modinfo", "-0", str(path)], timeout=SECONDS)
    except run.ProgramFailed as error:
        raise Refused(f"{path} is no kernel module", hint=error.stderr.strip()[-200:]) from None
    facts = parse(said.decode(errors="replace"))
    if not facts.vermagic or not facts.name:
        raise Refused(f"{path} is no kernel module: it does not say for which kernel it is")
    return facts


def firmware_wanted(modules: Sequence[Path]) -> frozenset[str]:
    """The firmware files that ``modules`` may ask for, as names (or patterns) below /lib/firmware."""
    if not modules:
        return frozenset()
    said = run.run(["modinfo", "-0", "-F", "firmware", *map(str, modules)], timeout=SECONDS)
    return frozenset(filter(None, said.decode(errors="replace").split("\0")))


def parse(said: str) -> ModuleFacts:
    """The facts in what ``modinfo -0`` ``said``: zero-ended entries ``KEY=VALUE``."""
    values: dict[str, list[str]] = {}
    for entry in said.split("\0"):
        key, equals, value = entry.partition("=")
        if equals and ":" not in key:
            values.setdefault(key.strip(), []).append(value.strip())

    def one(key: str) -> str:
        return values.get(key, [""])[0]

    return ModuleFacts(
        one("name").replace("-", "_"),
        one("vermagic"),
        one("license"),
        one("version"),
        one("signer"),
        one("sig_key"),
        tuple(values.get("alias", ())),
        tuple(filter(None, one("depends").replace("-", "_").split(","))),
        tuple(values.get("firmware", ())),
    )

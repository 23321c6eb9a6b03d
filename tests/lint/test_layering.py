"""The layers of docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "castcore": ROOT / "core/castcore",
    "castclient": ROOT / "client/castclient",
    "castserver": ROOT / "server/castserver",
    "castmedia": ROOT / "media-builder/castmedia",
}
PURE = ("disk", "image", "cast", "boot", "foreign", "nbd", "doctor", "medium", "licence")
# What would let a pure package open a socket, a file or a process, read a clock or sleep.
WORLDLY = {
    "socket",
    "subprocess",
    "asyncio",
    "threading",
    "time",
    "ssl",
    "http",
    "urllib",
    "os",
    "shutil",
} | {
    "scapy",
    "tftpy",
    "pyudev",
    "parted",
    "sqlalchemy",
    "fastapi",
    "uvicorn",
    "requests",
    "select",
    "random",
}


def modules() -> Iterator[tuple[str, Path]]:
    for name, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((name, *parts)).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Every module that ``path`` names in an import, functions' own imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


# What people see of castserver, and who puts it together.
FACES = {"cli", "commands", "console", "hud", "imageactions"}
ASSEMBLERS = {"castserver.__main__", "castserver.api.app"}
# What lies directly in castserver: its start, and what every package may use.
TOP = {"__init__", "__main__", "days", "moments", "openfiles", "parts", "runtime", "seldom"} | {
    "servetold",
    "settings",
    "signal",
    "webserver",
    "wording",
}


def packages_named(path: Path) -> set[str]:
    """The packages and modules directly in castserver that ``path`` imports."""
    parts = (target.split(".") for target in imports(path))
    return {name[1] for name in parts if name[0] == "castserver" and len(name) > 1}


def servers() -> Iterator[tuple[str, Path]]:
    return ((module, path) for module, path in modules() if module.startswith("castserver."))


def test_a_module_of_the_server_lies_in_the_package_of_its_subject() -> None:
    assert {path.stem for path in PACKAGES["castserver"].glob("*.py")} == TOP


@pytest.mark.parametrize(
    ("module", "path"), list(servers()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_what_serves_knows_nothing_of_who_shows_it(module: str, path: Path) -> None:
    package = module.split(".")[1]
    if package not in FACES and module not in ASSEMBLERS:
        assert not packages_named(path) & FACES, f"{module} imports a page or a command"
    if package == "database":
        assert packages_named(path) <= {"database", "days", "moments", "wording"}
    if package in {"cli", "commands", "hud", "imageactions"}:
        assert not packages_named(path) & {"parts"}, f"{module} is no part of a running server"


@pytest.mark.parametrize(
    ("module", "path"), list(modules()), ids=lambda v: str(v) if isinstance(v, str) else ""
)
def test_imports_respect_the_layers(module: str, path: Path) -> None:
    package, _, rest = module.partition(".")
    subject = rest.partition(".")[0]
    for target in imports(path):
        top = target.partition(".")[0]
        if top in PACKAGES and top != package:
            assert top == "castcore", f"{module} imports {target}: only castcore is shared"
        if package == "castcore" and subject in PURE:
            assert top not in WORLDLY, f"{module} imports {target}: pure code touches no world"
            other = target.split(".")
            assert other[:2] != ["castcore", "edge"], f"{module} imports the edge"
            if other[0] == "castcore" and len(other) > 2 and other[1] in PURE and other[1] != subject:
                inner = ROOT / "core/castcore" / other[1] / f"{other[2]}.py"
                assert not inner.exists(), f"{module} imports the insides of {other[1]}: {target}"


def test_subprocess_has_one_door() -> None:
    door = PACKAGES["castcore"] / "edge/run.py"
    users = [
        m
        for m, path in modules()
        if path != door and "subprocess" in {i.partition(".")[0] for i in imports(path)}
    ]
    assert users == []

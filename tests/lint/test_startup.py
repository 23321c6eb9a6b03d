"""Light commands start at once: what takes a second to load stays with the commands that need it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from castserver.__main__ import Listed, commands

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "castcore": ROOT / "core/castcore",
    "castclient": ROOT / "client/castclient",
    "castserver": ROOT / "server/castserver",
}
HEAVY = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "jinja2", "scapy", "tftpy"}
LIGHT = (
    *(f"castserver.commands.{name}" for name in ("capture", "restore", "verify", "image")),
    *(f"castserver.commands.{name}" for name in ("booting", "casts", "machines", "receive")),
    *(f"castserver.commands.{name}" for name in ("licence", "licences")),
    "castclient.__main__",
    "castserver.__main__",
)


def file_of(module: str) -> Path | None:
    top, *rest = module.split(".")
    if top not in FOLDERS:
        return None
    path = FOLDERS[top].joinpath(*rest)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imported(path: Path) -> set[str]:
    """What importing ``path`` imports: the statements at its top, not those inside functions."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    parents = {name.rsplit(".", n)[0] for name in found for n in range(1, name.count(".") + 1)}
    return found | parents


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_command_loads_nothing_heavy(module: str) -> None:
    seen, waiting, loaded = set[str](), [module], set[str]()
    while waiting:
        path = file_of(name := waiting.pop())
        loaded.add(name.partition(".")[0])
        if path is not None and name not in seen:
            seen.add(name)
            waiting += imported(path)
    assert "castcore.errors" in seen
    assert not loaded & HEAVY


def test_only_the_command_asked_for_is_loaded() -> None:
    assert [command.NAME for command in commands("verify")] == ["verify"]
    everything = [command.NAME for command in commands()]
    assert {"capture", "serve"} < set(everything)
    for unknown in ("--help", "nosuch", ""):
        assert [command.NAME for command in commands(unknown)] == everything


def test_the_list_of_commands_says_what_their_modules_say() -> None:
    for listed in commands():
        assert isinstance(listed, Listed)
        module = listed.load()
        assert (listed.NAME, listed.HELP) == (module.NAME, module.HELP)


def test_help_loads_no_command_and_nothing_that_takes_long() -> None:
    program = "import sys; from castserver.__main__ import main; sys.argv[1:] = ['--help']\n"
    program += "try: main()\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "capture a disk" in said.stdout
    loaded = set(said.stderr.split())
    assert "castcore.edge.commandline" in loaded
    assert not {name for name in loaded if name.startswith("castserver.commands.")}
    assert not loaded & {*HEAVY, "numpy", "cryptography", "zstandard", "ssl"}

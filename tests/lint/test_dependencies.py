"""Every dependency has its reason written down, and none is pinned to a place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return {name.lower() for group in (project["dependencies"], *extras) for name in group}


def test_each_dependency_has_a_reason_and_no_reason_is_left_over() -> None:
    rows = re.findall(
        r"^\| (\S+) \| [^|]+ \| [^|]+ \|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE
    )
    assert {row.lower() for row in rows} - {"python", "---"} == declared()


def test_constraints_name_versions_only() -> None:
    lines = [n for n in (ROOT / "constraints.txt").read_text().splitlines() if not n.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line) for line in lines)
    pinned = {line.partition("==")[0].lower() for line in lines}
    assert declared() <= pinned


def test_each_os_package_has_a_reason() -> None:
    lines = (ROOT / "tools/packages.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[a-z0-9][a-z0-9+.-]+ +\S.*", line) for line in lines)


def test_the_readme_lists_every_os_package() -> None:
    lines = (ROOT / "tools/packages.txt").read_text().splitlines()
    named = re.search(r"^> (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert named is not None
    assert named[1].split() == [line.split()[0] for line in lines if not line.startswith("#")]

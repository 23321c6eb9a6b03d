"""The shape of the house: file sizes, one import style, no machine's or registry's address."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400
# Programs' caches and build results are far larger; ours, golden files included, are not.
MOST_BYTES = 100_000
FORBIDDEN = {
    "a package registry's address": re.compile(
        r"https?://[^\s\"']*(pypi|/simple/|registry\.npm|debian\.org|ubuntu\.com)"
    ),
    "a machine's own path": re.compile(r"(^|[\s\"'=])/(work|home/\w+)/"),
}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_python_file_outgrows_its_subject() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in tracked()
        if p.suffix == ".py"
        if (n := len(p.read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_nothing_large_has_slipped_in() -> None:
    large = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked()}
    assert {name: size for name, size in large.items() if size > MOST_BYTES} == {}


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in {".bin", ".pcap", ".png", ".zst"}:
            continue
        text = path.read_text(errors="replace")
        found += [
            f"{path.relative_to(ROOT)}: {why}" for why, shape in FORBIDDEN.items() if shape.search(text)
        ]
    assert found == []

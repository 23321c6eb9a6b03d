"""What every benchmark prints and writes: figures beside their bars, and the machine they are of."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Bar:
    """One case: its median ``figure``, the ``bar`` it must reach in words ("" for none), the samples."""

    case: str
    figure: str
    bar: str
    ok: bool | None
    samples: Sequence[float] = ()


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }


def write(name: str, about: dict[str, str | int], bars: Sequence[Bar], **more: object) -> Path:
    """Print the table and write ``build/bench/NAME.json``; return its path."""
    wide = max((len(b.case) for b in bars), default=0)
    for bar in bars:
        verdict = {None: "", True: "ok", False: "MISSED"}[bar.ok]
        print(f"{bar.case:<{wide}}  {bar.figure:<44}  {bar.bar:<34} {verdict}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    value = {"machine": about, "bars": [asdict(b) for b in bars], **more}
    path.write_text(json.dumps(value, indent=1) + "\n")
    print(f"written: {path}")
    return path

"""Everything that support wants to see, as the files of one archive, without secrets."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from typing import Any

from castcore import __version__
from castcore.redact import redacted

from castserver.logs.machinelogs import KeptLog

FOLDER = "fleetcast-logs"
# What one archive holds of machines' logs, before it is packed; the newest come first.
MOST_LOGS = 64 << 20


def files(
    server: str,
    state: Any,
    machines: Sequence[str],
    logs: Iterable[KeptLog],
    own: dict[str, str],
    secrets: Sequence[str],
) -> dict[str, bytes]:
    """The files by path: ``state`` as the API tells it, of ``machines`` alone, their ``logs``, and the
    server's ``own`` log files by name. ``secrets`` are taken out wherever they stand.
    """
    wanted = frozenset(machines)
    clients = [client for client in state["clients"] if client["client"] in wanted]
    about = {"server": server, "version": __version__, "python": platform.python_version()}
    found = {
        "about.json": _json(about),
        "state.json": _json(state),
        "inventory.json": _json([_hardware(client) for client in clients]),
        **{f"server/{name}": text for name, text in own.items()},
        **_machine_files(logs),
    }
    return {name: redacted(text, secrets).encode(errors="replace") for name, text in found.items()}


def _machine_files(logs: Iterable[KeptLog]) -> dict[str, str]:
    found: dict[str, str] = {}
    left_out: list[str] = []
    room = MOST_LOGS
    for kept in sorted(logs, key=lambda kept: (-kept.when, kept.machine, -kept.number)):
        name = f"machines/{kept.machine}/{kept.number:06}-{kept.log.reason}"
        room -= len(kept.log.kernel) + len(kept.log.journal)
        if room < 0:
            left_out.append(f"{name}\n")
            continue
        found |= {
            f"{name}/kernel.log": f"{kept.log.kernel}\n",
            f"{name}/journal.log": f"{kept.log.journal}\n",
            f"{name}/about.txt": f"{kept.log.about}\n",
        }
    if left_out:
        found["left-out.txt"] = "".join(sorted(left_out))
    return found


def _hardware(client: dict[str, Any]) -> dict[str, Any]:
    return {name: client[name] for name in ("client", "label", "machine", "nics", "disks")}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"

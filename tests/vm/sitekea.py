"""Kea's DHCP server as the site's: addresses and a router, and not a word about booting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from castcore.edge import run

from tests.vm.network import SITE_INTERFACE, SUBNET, Network, inside

_PROGRAM = "kea-dhcp4"
_START_SECONDS = 10.0


@contextmanager
def site_kea(network: Network, folder: Path) -> Iterator[None]:
    """The server on the site's address until the block is left. Raises MissingProgram, ProgramFailed."""
    run.require((_PROGRAM,), hint="run `make setup`")
    settings, log = folder / "kea.json", folder / "site-dhcp.log"
    settings.write_text(json.dumps({"Dhcp4": _settings()}, indent=1))
    own = ["env", f"KEA_PIDFILE_DIR={folder}", "KEA_LOCKFILE_DIR=none"]
    with (
        log.open("wb") as said,
        run.started(
            [*inside(network.site), *own, _PROGRAM, "-c", str(settings)], stdout=said, merged=True
        ) as server,
    ):
        end = time.monotonic() + _START_SECONDS
        while b"DHCP4_STARTED" not in log.read_bytes():
            if server.poll() is not None or time.monotonic() > end:
                raise run.ProgramFailed(f"the site's DHCP server did not start: see {log}")
            time.sleep(0.1)
        yield


def _settings() -> dict[str, Any]:
    subnet = {
        "id": 1,
        "subnet": f"{SUBNET}.0/24",
        "pools": [{"pool": f"{SUBNET}.100 - {SUBNET}.199"}],
        "option-data": [{"name": "routers", "data": f"{SUBNET}.1"}],
    }
    told = {"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}
    return {
        "interfaces-config": {"interfaces": [SITE_INTERFACE]},
        "lease-database": {"type": "memfile", "persist": False},
        "valid-lifetime": 3600,
        "subnet4": [subnet],
        "loggers": [told],
    }

"""ISC's DHCP server as the site's: addresses and a router, and not a word about booting."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge import run

from tests.vm.network import SITE_INTERFACE, SUBNET, Network, inside

_PROGRAM = "dhcpd"
_START_SECONDS = 5.0
_SETTINGS = f"""
authoritative;
default-lease-time 3600;
subnet {SUBNET}.0 netmask 255.255.255.0 {{
  range {SUBNET}.100 {SUBNET}.199;
  option routers {SUBNET}.1;
}}
"""


@contextmanager
def site_dhcpd(network: Network, folder: Path) -> Iterator[None]:
    """The server on the site's address until the block is left. Raises MissingProgram, ProgramFailed."""
    run.require((_PROGRAM,), hint="run `make setup`")
    # A copy: AppArmor lets the one in its own place read and write in /etc/dhcp and /var/lib/dhcp only.
    program = shutil.copy(run.find(_PROGRAM) or "", folder / _PROGRAM)
    settings, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    log = folder / "site-dhcp.log"
    settings.write_text(_SETTINGS)
    leases.write_bytes(b"")
    command = [str(program), "-4", "-f", "-d", "--no-pid", "-cf", str(settings)]
    command += ["-lf", str(leases), SITE_INTERFACE]
    enter = inside(network.site)
    with (
        log.open("wb") as said,
        run.started([*enter, *command], stdout=said, merged=True) as server,
    ):
        end = time.monotonic() + _START_SECONDS
        while b"Server starting service" not in log.read_bytes():
            if server.poll() is not None or time.monotonic() > end:
                raise run.ProgramFailed(f"the site's DHCP server did not start: see {log}")
            time.sleep(0.1)
        yield
    (folder / _PROGRAM).unlink()

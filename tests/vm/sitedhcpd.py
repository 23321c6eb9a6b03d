"""ISC's DHCP server as the site's: addresses and a router, and not a word about booting.

It is unpacked from Debian's package, not installed: no DHCP server may start on the host by itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge import run

from tests.vm.network import SITE_INTERFACE, SUBNET, Network, inside

PACKAGE = "isc-dhcp-server"
_DOWNLOAD_SECONDS = 120.0
_START_SECONDS = 5.0
_SETTINGS = f"""
authoritative;
default-lease-time 3600;
subnet {SUBNET}.0 netmask 255.255.255.0 {{
  range {SUBNET}.100 {SUBNET}.199;
  option routers {SUBNET}.1;
}}
"""


def program(cache: Path) -> Path:
    """The server's program below ``cache``, fetched at the first call. Raises ProgramFailed."""
    root = cache / PACKAGE
    if not root.is_dir():
        partial = cache / f".partial-{PACKAGE}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        # As root apt drops its rights for downloads, which our folder does not grant.
        fetch = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", PACKAGE]
        run.run(fetch, cwd=partial, timeout=_DOWNLOAD_SECONDS)
        (package,) = partial.glob("*.deb")
        run.run(["dpkg-deb", "-x", str(package), str(partial)], timeout=_DOWNLOAD_SECONDS)
        package.unlink()
        partial.rename(root)
    return root / "usr/sbin/dhcpd"


@contextmanager
def site_dhcpd(network: Network, folder: Path, cache: Path) -> Iterator[None]:
    """The server on the site's address until the block is left. Raises ProgramFailed."""
    settings, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    log = folder / "site-dhcp.log"
    settings.write_text(_SETTINGS)
    leases.write_bytes(b"")
    command = [str(program(cache)), "-4", "-f", "-d", "--no-pid", "-cf", str(settings)]
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

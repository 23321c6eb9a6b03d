"""The site's own DHCP server: addresses and a router, and not a word about booting.

What it really offered is read from the wire by a capture on its own interface, not from its settings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castcore.edge import run
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.utils import rdpcap

from tests.vm.network import SITE_ADDRESS, SITE_INTERFACE, SUBNET, Network, inside

POOL = f"{SUBNET}.100,{SUBNET}.199,255.255.255.0,1h"
_OFFER = 2
_START_SECONDS = 5.0


@dataclass(frozen=True)
class SiteDhcp:
    """A running DHCP server of the site; ``capture`` holds what it sent."""

    log: Path
    capture: Path

    def offer(self) -> dict[str, Any]:
        """Its last OFFER field by field; empty when it never made one."""
        offers = [_fields(p) for p in rdpcap(str(self.capture)) if _is_offer(p)]
        return offers[-1] if offers else {}


@contextmanager
def site_dhcp(network: Network, folder: Path, more: Sequence[str] = ()) -> Iterator[SiteDhcp]:
    """dnsmasq as the site's DHCP server until the block is left. Raises ProgramFailed.

    ``more`` are further arguments, as a range for a network behind a relay.
    """
    log, capture = folder / "site-dhcp.log", folder / "site-dhcp.pcap"
    dnsmasq = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]
    dnsmasq += [
        f"--interface={SITE_INTERFACE}",
        "--bind-interfaces",
        f"--dhcp-range={POOL}",
        "--log-dhcp",
    ]
    dnsmasq += ["--dhcp-authoritative", f"--dhcp-leasefile={folder / 'site-dhcp.leases'}"]
    # dnsmasq names itself as the next server unless told otherwise; 0.0.0.0 is "none" (RFC 2131, 2).
    dnsmasq += ["--dhcp-option=option:server-ip-address,0.0.0.0"]
    dnsmasq += ["--log-facility=-", "--pid-file=", *more]
    tcpdump = ["tcpdump", "-i", SITE_INTERFACE, "-U", "-w", str(capture), "-Z", "root"]
    tcpdump += ["udp", "and", "src", "host", SITE_ADDRESS, "and", "src", "port", "67"]
    enter = inside(network.site)
    capture.unlink(missing_ok=True)
    with (
        log.open("wb") as said,
        (folder / "tcpdump.log").open("wb") as seen,
        run.started([*enter, *tcpdump], stdout=seen, merged=True),
        run.started([*enter, *dnsmasq], stdout=said, merged=True) as server,
    ):
        end = time.monotonic() + _START_SECONDS
        while not capture.exists() or b"started" not in log.read_bytes():
            if server.poll() is not None or time.monotonic() > end:
                raise run.ProgramFailed(f"the site's DHCP server did not start: see {log}")
            time.sleep(0.1)
        yield SiteDhcp(log, capture)


def _is_offer(packet: Any) -> bool:
    return DHCP in packet and ("message-type", _OFFER) in packet[DHCP].options


def _fields(packet: Any) -> dict[str, Any]:
    header = packet[BOOTP]
    options = [o for o in packet[DHCP].options if isinstance(o, tuple)]
    return {
        "server": packet.src if not packet.haslayer("IP") else packet["IP"].src,
        "address": header.yiaddr,
        "next_server": header.siaddr,
        "server_name": _text(header.sname),
        "boot_file": _text(header.file),
        "options": {str(name): _plain(values) for name, *values in options},
    }


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")


def _plain(values: list[Any]) -> Any:
    plain = [v.hex() if isinstance(v, bytes) else v for v in values]
    return plain[0] if len(plain) == 1 else plain

"""A proxy beside a DHCP server on the same host: neither is in the other's way, whoever came first."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from castcore.boot import InterfaceMode
from castcore.edge import run
from scapy.layers.dhcp import BOOTP

from tests.net.bootclients import (
    ACK,
    BROADCAST_FLAG,
    DISCOVER,
    FIRMWARE,
    OFFER,
    OURS,
    REQUEST,
    answers,
    boot_settings,
    dhcp_server,
    dnsmasq,
    kind,
    options,
    packet,
    serving,
)
from tests.net.hosts import Hosts, hosts
from tests.support.bootevents import Events
from tests.support.boottrees import tree
from tests.support.castlab import ENVIRONMENT, ROOT

pytestmark = pytest.mark.root

THEIRS = "192.0.2.50"
ONLY = f"{THEIRS},{THEIRS}"
Words = Callable[[Path], list[str]]


def dhcpd(folder: Path) -> list[str]:
    subnet = f"subnet 192.0.2.0 netmask 255.255.255.0 {{ range {THEIRS}; }}\n"
    (folder / "conf").write_text(f"authoritative;\nping-check false;\n{subnet}")
    (folder / "leases").touch()
    files = ["-cf", folder / "conf", "-lf", folder / "leases", "-pf", folder / "pid"]
    return ["dhcpd", "-4", "-f", *map(str, files), "wire0"]


def kea(folder: Path) -> list[str]:
    config = {
        "interfaces-config": {"interfaces": ["wire0"]},
        "lease-database": {"type": "memfile", "persist": False},
        "subnet4": [{"id": 1, "subnet": "192.0.2.0/24", "pools": [{"pool": f"{THEIRS} - {THEIRS}"}]}],
    }
    (folder / "kea.json").write_text(json.dumps({"Dhcp4": config}))
    own = ["env", f"KEA_PIDFILE_DIR={folder}", "KEA_LOCKFILE_DIR=none"]
    return [*own, "kea-dhcp4", "-c", str(folder / "kea.json")]


SERVERS: dict[str, Words] = {
    "dnsmasq": lambda _: dnsmasq(ONLY),
    "dnsmasq-bind-interfaces": lambda _: dnsmasq(ONLY, "--bind-interfaces"),
    "dhcpd": dhcpd,
    "kea": kea,
}


@pytest.fixture
def net() -> Iterator[Hosts]:
    with hosts("beside") as made:
        made.cable(("s", "wire0"), ("c", "wire0"))
        made.address("s", "wire0", f"{OURS}/24")
        made.address("c", "wire0", "192.0.2.9/24")  # it has THEIRS only when it is leased
        made.be("c", "wire0", FIRMWARE)
        yield made


def offers(net: Hosts) -> dict[str, BOOTP]:
    """Who offers what, by address. Asked again as firmware does: Kea has its port before it listens."""
    found: dict[str, BOOTP] = {}
    for _ in range(4):
        heard = answers(net, "c", packet(DISCOVER, flags=BROADCAST_FLAG), wanted=2, seconds=3)
        found |= {offer.yiaddr: offer for offer in heard}
        if len(found) > 1:
            break
    return found


@pytest.mark.parametrize("proxy_first", [True, False])
@pytest.mark.parametrize("server", SERVERS)
def test_both_answer(net: Hosts, tmp_path: Path, server: str, *, proxy_first: bool) -> None:
    at_site = dhcp_server(net, "s", SERVERS[server](tmp_path))
    proxy = serving(net, boot_settings(tmp_path, InterfaceMode.PROXY), Events())
    first, second = (proxy, at_site) if proxy_first else (at_site, proxy)
    with first, second:
        found = offers(net)
        assert set(found) == {"0.0.0.0", THEIRS}
        assert found["0.0.0.0"].file.rstrip(b"\0") == b"shimx64.efi"
        assert kind(found[THEIRS]) == OFFER
        chosen = [("server_id", OURS), ("requested_addr", THEIRS)]
        bound = answers(net, "c", packet(REQUEST, *chosen, flags=BROADCAST_FLAG))[0]
        assert (kind(bound), bound.yiaddr) == (ACK, THEIRS)
        net.address("c", "wire0", f"{THEIRS}/24")
        # A renewal, to the server's address alone: what a shared port would have taken from it.
        renewed = answers(net, "c", packet(REQUEST, ciaddr=THEIRS), to=OURS)[0]
        assert (kind(renewed), renewed.yiaddr) == (ACK, THEIRS)
        boot = answers(net, "c", packet(REQUEST, ciaddr=THEIRS), to=OURS, port=4011, own=4011)[0]
        assert (kind(boot), boot.yiaddr) == (ACK, "0.0.0.0")


def test_without_the_right_to_raw_sockets_only_4011_is_left_and_that_is_said(
    net: Hosts, tmp_path: Path
) -> None:
    tree(tmp_path)
    words = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable]
    words += ["-m", "castserver", "pxe", "--json", "--interface", "wire0", "--boot-tree", str(tmp_path)]
    with dhcp_server(net, "s", dnsmasq(ONLY, "--dhcp-option-force=60,PXEClient")):
        proxy = run.started(net.command("s", *words), cwd=ROOT, extra_env=ENVIRONMENT)
        with proxy as program:
            assert program.stdout is not None
            event = json.loads(program.stdout.readline())
            assert "UDP port 67 is taken by" in event["detail"]
            assert 'option 60 "PXEClient"' in event["detail"]
            discover = packet(DISCOVER, flags=BROADCAST_FLAG)
            heard = answers(net, "c", discover, wanted=2, seconds=6)
            assert [offer.yiaddr for offer in heard] == [THEIRS]
            assert options(heard[0])["vendor_class_id"] == b"PXEClient"
            net.address("c", "wire0", f"{THEIRS}/24")
            asked = packet(REQUEST, ("server_id", OURS), ciaddr=THEIRS)
            boot = answers(net, "c", asked, to=OURS, port=4011, own=4011)[0]
    assert boot.file.rstrip(b"\0") == b"shimx64.efi"
    assert boot.chaddr[:6].hex(":") == FIRMWARE

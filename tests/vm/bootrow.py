"""One row of the boot matrix, run: its site, our services, its PCs, until each has come to an end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.boot import InterfaceMode

from tests.vm import farnetwork, network
from tests.vm.bootpc import BootingPC, booting, wait_for_ends
from tests.vm.bootplan import BootFirmware, Row, Site
from tests.vm.bootserver import BootServer, boot_server
from tests.vm.boottree import BUILD, accel, tree
from tests.vm.machine import PC
from tests.vm.network import SERVER_INTERFACE, Network
from tests.vm.site import site_dhcp
from tests.vm.sitedhcpd import site_dhcpd

FOLDER = BUILD / "boot-matrix"
PATIENCE_SECONDS = 150.0
_RELAYED_RANGE = (
    f"--dhcp-range={farnetwork.FAR_SUBNET}.100,{farnetwork.FAR_SUBNET}.199,255.255.255.0,1h",
)
# Both DHCP modes at once, each on its own network.
_LEGS = {SERVER_INTERFACE: InterfaceMode.PROXY, farnetwork.SERVER_FAR_INTERFACE: InterfaceMode.DHCP}


@dataclass(frozen=True)
class Boot:
    """How one PC's boot went.

    ``end`` is the last word on its console ``serial``; ``told`` is what our server said of it,
    ``fetched`` the names it asked for by HTTP.
    """

    firmware: BootFirmware
    end: str
    seconds: float | None
    since_request: float | None
    serial: str
    told: tuple[str, ...]
    fetched: tuple[str, ...]


def run_row(row: Row) -> tuple[Boot, ...]:
    """Boot the row's PCs together; their captures and logs stay in a folder of its name."""
    folder = FOLDER / row.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree(), accel()  # made before anything waits for them
    network.remove_stale(print)
    with network.built() as net, _site(row, net, folder) as servers, ExitStack() as stack:
        pcs = [
            stack.enter_context(_booting(row, net, folder, number))
            for number in range(len(row.firmware))
        ]
        wait_for_ends(pcs, PATIENCE_SECONDS)
    boots = tuple(_boot(f, pc, servers) for f, pc in zip(row.firmware, pcs, strict=True))
    _record(folder, boots)
    return boots


@contextmanager
def _site(row: Row, net: Network, folder: Path) -> Iterator[list[BootServer]]:
    """Everything on the network but the PCs."""
    legs = {SERVER_INTERFACE: InterfaceMode.DHCP if row.site is Site.ALONE else InterfaceMode.PROXY}
    with ExitStack() as stack:
        if row.site is Site.ISC:
            stack.enter_context(site_dhcpd(net, folder))
        elif row.site is not Site.ALONE:
            more = _RELAYED_RANGE if row.site is Site.RELAY else ()
            stack.enter_context(site_dhcp(net, folder, more))
        if row.site is Site.RELAY:
            stack.enter_context(farnetwork.relayed(net, folder))
        if row.site is Site.TWO:
            farnetwork.second_leg(net)
            legs = _LEGS
        options = next((f.model.server for f in row.firmware if f.model.server), ())
        yield [
            stack.enter_context(
                boot_server(net, folder, interface=leg, mode=mode, decision=row.decision, more=options)
            )
            for leg, mode in legs.items()
        ]


@contextmanager
def _booting(row: Row, net: Network, folder: Path, number: int) -> Iterator[BootingPC]:
    model = row.firmware[number].model
    name = row.firmware[number].value
    far = row.site is Site.RELAY or (row.site is Site.TWO and number % 2 == 1)
    pc = PC(name, 1 + number, model.firmware, card=model.card, boot=model.boot)
    with booting(pc, net, folder, farnetwork.BRIDGE if far else "lan") as powered:
        yield powered


def _boot(firmware: BootFirmware, pc: BootingPC, servers: list[BootServer]) -> Boot:
    mac = pc.running.pc.mac
    return Boot(
        firmware=firmware,
        end=pc.end,
        seconds=pc.seconds,
        since_request=pc.since_request,
        serial=pc.running.serial.text(),
        told=tuple(line for server in servers for line in server.told_of(mac)),
        fetched=tuple(pc.capture.fetched()),
    )


def _record(folder: Path, boots: tuple[Boot, ...]) -> None:
    shown = [
        {
            "firmware": boot.firmware.value,
            "end": boot.end,
            "seconds": boot.seconds,
            "since_request": boot.since_request,
        }
        for boot in boots
    ]
    (folder / "result.json").write_text(json.dumps(shown, indent=1) + "\n")
    for boot in boots:
        print(f"{boot.firmware.value}: {boot.seconds} s ({boot.since_request} s of DHCP on): {boot.end}")

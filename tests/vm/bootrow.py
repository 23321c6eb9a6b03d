"""One row of the boot matrix, run: its site, our services, its PCs, until each has come to an end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.boot import WantedMode

from tests.vm import farnetwork, network
from tests.vm.bootpc import BootingPC, booting, wait_for_ends
from tests.vm.bootplan import BootFirmware, Row, Site
from tests.vm.bootserver import BootServer, boot_server, whole_server
from tests.vm.boottree import BUILD, accel, tree
from tests.vm.machine import PC
from tests.vm.network import SERVER_INTERFACE, Network
from tests.vm.site import site_dhcp
from tests.vm.sitedhcpd import site_dhcpd
from tests.vm.sitekea import site_kea

FOLDER = BUILD / "boot-matrix"
PATIENCE_SECONDS = 150.0
_RELAYED_RANGE = (
    f"--dhcp-range={farnetwork.FAR_SUBNET}.100,{farnetwork.FAR_SUBNET}.199,255.255.255.0,1h",
)
# What our server is told to do: by name, or to find out what the network has.
_AUTO, _PROXY = ("auto",), (WantedMode.PROXY,)
_MODES = {
    Site.DNSMASQ: _PROXY,
    Site.ISC: _AUTO,
    Site.KEA: _AUTO,
    Site.ALONE: (*_AUTO, "--own-dhcp"),
    Site.RELAY: _PROXY,
}
# Both DHCP modes at once, each on its own network.
_LEGS = {SERVER_INTERFACE: WantedMode.PROXY, farnetwork.SERVER_FAR_INTERFACE: WantedMode.DHCP}


@dataclass(frozen=True)
class Boot:
    """How one PC's boot went.

    ``end`` is the last word on its console ``serial``; ``told`` is what our server said of it,
    ``fetched`` the names it asked for by TFTP and HTTP.
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
    with network.built() as net, _site(row, net, folder) as server, ExitStack() as stack:
        pcs = [
            stack.enter_context(booting(pc, net, folder, _bridge(row, number)))
            for number, pc in enumerate(_pcs(row))
        ]
        wait_for_ends(pcs, PATIENCE_SECONDS)
    boots = tuple(_boot(f, pc, server) for f, pc in zip(row.firmware, pcs, strict=True))
    _record(folder, boots)
    return boots


@contextmanager
def _site(row: Row, net: Network, folder: Path) -> Iterator[BootServer]:
    """Everything on the network but the PCs."""
    options = next((f.model.server for f in row.firmware if f.model.server), ())
    with ExitStack() as stack:
        if row.site is Site.ISC:
            stack.enter_context(site_dhcpd(net, folder))
        elif row.site is Site.KEA:
            stack.enter_context(site_kea(net, folder))
        elif row.site is not Site.ALONE:
            more = _RELAYED_RANGE if row.site is Site.RELAY else ()
            stack.enter_context(site_dhcp(net, folder, more))
        if row.site is Site.RELAY:
            stack.enter_context(farnetwork.relayed(net, folder))
        if row.site is Site.TWO:
            farnetwork.second_leg(net)
            ours = whole_server(
                net, folder, modes=_LEGS, decision=row.decision, pcs=_pcs(row), more=options
            )
        else:
            mode = _MODES[row.site]
            ours = boot_server(net, folder, mode=mode, decision=row.decision, more=options)
        yield stack.enter_context(ours)


def _pcs(row: Row) -> list[PC]:
    return [
        PC(f.value, number, f.model.firmware, card=f.model.card, boot=f.model.boot)
        for number, f in enumerate(row.firmware, 1)
    ]


def _bridge(row: Row, number: int) -> str:
    far = row.site is Site.RELAY or (row.site is Site.TWO and number % 2 == 1)
    return farnetwork.BRIDGE if far else "lan"


def _boot(firmware: BootFirmware, pc: BootingPC, server: BootServer) -> Boot:
    mac = pc.running.pc.mac
    return Boot(
        firmware=firmware,
        end=pc.end,
        seconds=pc.seconds,
        since_request=pc.since_request,
        serial=pc.running.serial.text(),
        told=tuple(server.told_of(mac)),
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

"""What skip mode saves: the time from the first DHCP packet to the local disk's loader.

The same firmware boots, in one run, beside our proxy in skip mode and the site's DHCP server, beside
such a server alone, and on a network where nobody answers. The seconds stand in ``build/skip-time``.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from castcore.boot import BootDecision, WantedMode

from tests.support.figures import tell
from tests.vm import localdisk, network
from tests.vm.bootpc import booting, wait_for_ends
from tests.vm.bootplan import BootFirmware
from tests.vm.bootserver import boot_server
from tests.vm.boottree import BUILD, accel, tree
from tests.vm.firmware import USUAL, NetworkBoot
from tests.vm.machine import PC
from tests.vm.site import site_dhcp

pytestmark = [pytest.mark.vm, pytest.mark.root]
# The name of a network of the test, which is also that of its bridge.
OURS, DHCP, SILENT = "lan", "dhcp", "silent"
PATIENCE_SECONDS = 400.0
MOST_SLOWER_SECONDS = 1.0
MOST_OF_SILENCE = 0.25
# An attempt that was ended, on a busy machine; one that nobody answers takes more than a minute.
ENDED_SECONDS = 30.0
ATTEMPT = re.compile(r"^ *([0-9.]+) .*>>Start ((?:PXE|HTTP Boot) over IPv[46])", re.MULTILINE)
# dnsmasq pings a new address for 3 s before it offers it, with us and without: no part of the question.
NO_PING = "--no-ping"
SITES = (
    "--interface=site1",
    "--dhcp-range=192.168.78.100,192.168.78.199,255.255.255.0,1h",
)


def measured(name: str, firmware: BootFirmware, boot: NetworkBoot, *site: str) -> dict[str, float]:
    """Seconds by network, of one run in which every PC reached its disk; ``site``: more for dnsmasq."""
    folder = BUILD / "skip-time" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tree(), accel()  # made before anything waits for them
    network.remove_stale(print)
    model = firmware.model
    with network.built() as net, ExitStack() as stack:
        for bridge in (DHCP, SILENT):
            network.add_bridge(net, bridge)
        network.attach(net, net.site, "site1", "192.168.78.1", DHCP)
        stack.enter_context(site_dhcp(net, folder, (*SITES, *site)))
        ours = boot_server(
            net,
            folder,
            mode=(WantedMode.PROXY,),
            decision=BootDecision.LOCAL,
        )
        stack.enter_context(ours)
        pcs = {
            bridge: stack.enter_context(
                booting(
                    PC(bridge, number, model.firmware, card=model.card, boot=boot), net, folder, bridge
                )
            )
            for number, bridge in enumerate((OURS, DHCP, SILENT), 1)
        }
        wait_for_ends(list(pcs.values()), PATIENCE_SECONDS)
    seconds = {bridge: pc.since_request for bridge, pc in pcs.items()}
    (folder / "result.json").write_text(json.dumps(seconds) + "\n")
    tell(case=name, seconds=seconds)
    reached = {bridge: taken for bridge, taken in seconds.items() if taken is not None}
    assert reached == seconds
    return reached


def attempts(log: Path, total: float) -> dict[str, float]:
    """Seconds that firmware spent on each of its network boot entries, by its name.

    ``total``: from its first DHCP packet to its disk. A line of the log bears the time of its end, and
    firmware ends the line that says what it tries when that is over.
    """
    text = log.read_text(errors="replace")
    over = [(match[2], float(match[1])) for match in ATTEMPT.finditer(text)]
    disk = re.search(rf"^ *([0-9.]+) .*{localdisk.BOOTED.pattern}", text, re.MULTILINE)
    assert disk, "it did not boot its disk"
    began = [float(disk[1]) - total, *(when for _, when in over)]
    return {name: round(end - start, 1) for (name, end), start in zip(over, began, strict=False)}


@pytest.mark.parametrize(
    ("name", "firmware", "boot"),
    [
        # Minutes, most of them of waiting for nobody.
        pytest.param("bios", BootFirmware.VIRTIO, USUAL, id="bios", marks=pytest.mark.full),
        pytest.param("uefi", BootFirmware.UEFI, USUAL, id="uefi", marks=pytest.mark.full),
    ],
)
def test_a_skipped_machine_is_at_its_disk_sooner(
    name: str, firmware: BootFirmware, boot: NetworkBoot
) -> None:
    seconds = measured(name, firmware, boot, NO_PING)
    assert seconds[OURS] <= seconds[DHCP] + MOST_SLOWER_SECONDS
    assert seconds[OURS] <= MOST_OF_SILENCE * seconds[SILENT]


@pytest.mark.full
def test_what_follows_over_ipv6_is_not_ours_to_end_but_costs_no_more_than_without_us() -> None:
    seconds = measured("uefi-ipv6", BootFirmware.UEFI, NetworkBoot(ipv6=True), NO_PING)
    cost = attempts(BUILD / "skip-time/uefi-ipv6" / f"{OURS}.serial.log", seconds[OURS])
    tell(with_us=cost)
    ended = [taken for attempt, taken in cost.items() if attempt.endswith("IPv4")]
    assert len(ended) == 2
    assert max(ended) < ENDED_SECONDS
    assert seconds[OURS] <= seconds[DHCP] + MOST_SLOWER_SECONDS
    assert seconds[OURS] < seconds[SILENT]


@pytest.mark.full
def test_a_server_that_pings_its_addresses_first_costs_its_pings_and_no_more() -> None:
    """iPXE ends nothing before it has an address, which is not ours to give."""
    seconds = measured("bios-ping", BootFirmware.VIRTIO, USUAL)
    assert seconds[OURS] <= seconds[DHCP] + MOST_SLOWER_SECONDS
    assert seconds[OURS] < seconds[SILENT]

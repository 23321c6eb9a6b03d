"""The demo under loss is green: mostly by multicast, beside a DHCP server that boots nobody."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.vm import demo, network
from tests.vm.demo import BUILD, Options

pytestmark = [pytest.mark.vm, pytest.mark.root]
LEAST_MULTICAST = 0.95


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``result.json`` of one run with 1% of the packets towards one PC lost."""
    folder = BUILD / "test-demo"
    ok = demo.demo(Options(folder=folder, loss=10))
    value: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert value["ok"] is ok
    return value


def test_every_pc_booted_what_was_cast(shown: dict[str, Any]) -> None:
    assert shown["ok"]
    image = shown["image"]
    booted = {m["name"]: m["booted"] for m in shown["machines"]}
    wanted = f"{image['host']} {image['root_uuid']}"
    assert booted == dict.fromkeys(("pc1", "pc2", "pc3", "pc4"), wanted)


def test_each_firmware_took_part(shown: dict[str, Any]) -> None:
    kinds = [(m["firmware"], m["secure_boot"]) for m in shown["machines"]]
    assert kinds == [("UEFI", True), ("UEFI", False), ("BIOS", False), ("UEFI", False)]


def test_nearly_everything_came_by_multicast(shown: dict[str, Any]) -> None:
    for machine in shown["machines"][:3]:
        multicast, unicast = machine["multicast_bytes"], machine["unicast_bytes"]
        assert multicast >= LEAST_MULTICAST * (multicast + unicast), machine


def test_the_loss_was_real_and_was_repaired(shown: dict[str, Any]) -> None:
    assert shown["loss"]["packets_lost"] > 0
    lossy = next(m for m in shown["machines"] if m["name"] == shown["loss"]["machine"])
    assert lossy["repaired_bytes"] > 0


def test_the_sites_dhcp_server_said_nothing_about_booting(shown: dict[str, Any]) -> None:
    offer = shown["site_dhcp_offer"]
    assert (offer["next_server"], offer["boot_file"], offer["server_name"]) == ("0.0.0.0", "", "")
    assert offer["options"]["router"]


def test_nothing_of_the_lab_is_left(shown: dict[str, Any]) -> None:
    assert not list(Path("/run/netns").glob(f"{network.PREFIX}-{os.getpid()}-*"))

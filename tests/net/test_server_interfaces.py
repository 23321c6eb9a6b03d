"""A server with two interfaces, a switch behind each: neither leg holds the other up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import bootnames
from castcore.disk import Extent
from castcore.edge import run
from castcore.units import MIB

from tests.support.boottrees import tree
from tests.support.castlab import Peer
from tests.support.images import blank, make_image, noise
from tests.support.twonetworks import TwoNetworks, serve_words, two_networks

pytestmark = pytest.mark.root

SIZE = 32 * MIB
# What some machine asks for, once its iPXE runs.
OWN_SCRIPT = bootnames.MachineName("52:54:00:00:00:99", "", bootnames.MachineFile.IPXE_BIOS)
SECONDS = 150.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = tmp_path / "source.raw"
    raw.write_bytes(noise(SIZE, 5))
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images", "sample", raw, (Extent(0, SIZE),))
    return raw


def serving(nets: TwoNetworks, folder: Path, *more: str) -> tuple[Peer, str]:
    """The server, and the id of its cast of the image."""
    server = nets.start("s", *serve_words(folder, "--image", "sample", *more))
    cast = server.until(lambda e: e["event"] == "cast", SECONDS)["cast"]
    return server, str(cast)


def client(nets: TwoNetworks, folder: Path, number: int, *interfaces: str) -> tuple[Peer, Path]:
    target = blank(folder / f"target{number}.raw", SIZE)
    named = [word for name in interfaces for word in ("--interface", name)]
    run_it = ("castclient", "run", "--json", "--target", str(target), *named)
    return nets.start(f"c{number}", *run_it), target


def cast_of(nets: TwoNetworks, folder: Path, cast: str) -> dict[str, Any]:
    """What the operator sees of the cast."""
    words = ("casts", "show", cast, "--json", "--state", str(folder / "state"))
    command = ["ip", "netns", "exec", nets.space("s"), sys.executable, "-m", "castserver", *words]
    shown: dict[str, Any] = json.loads(run.run(command, timeout=30).splitlines()[-1])
    return shown


def eventually(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (result := what()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)
    return result


def test_loss_on_one_interface_does_not_slow_the_other(source: Path, tmp_path: Path) -> None:
    """Behind nic1 a switch that carries 40 Mbit/s and loses 5%; behind nic0 a good one."""
    with two_networks("loss", [(0,), (0,), (1,)]) as nets:
        nets.lose(1, "c2", 50)
        nets.shape(1, "c2", 40)
        _, cast = serving(nets, tmp_path, "--start-clients", "3", "--rate", "20")
        clients = [client(nets, tmp_path, n, f"wire{net}") for n, net in enumerate((0, 0, 1))]
        results = [clients[n][0].result(SECONDS) for n in (0, 1)]
        still = cast_of(nets, tmp_path, cast)
        results.append(clients[2][0].result(SECONDS))
    by_leg = {leg["interface"]: leg for leg in still["sender"]["legs"]}
    assert set(by_leg) == {"nic0", "nic1"}
    slow = next(c for c in still["sender"]["clients"] if c["interface"] == "nic1")
    assert not slow["done"], "the good leg waited for the bad one"
    assert slow["net_lost"] > 0
    assert by_leg["nic0"]["repair"] == 0, "the good leg sent for the bad one's loss"
    assert [r["state"] for r in results] == ["done"] * 3
    assert results[0]["multicast"] == results[1]["multicast"] == results[0]["total"]
    assert all(target.read_bytes() == source.read_bytes() for _, target in clients)


def test_a_lost_interface_ends_its_leg_and_its_client_comes_back_on_the_other(
    source: Path, tmp_path: Path
) -> None:
    """Both clients are half-way when nic1 is pulled out; one of them has a cable in both networks."""
    with two_networks("gone", [(0,), (0, 1)]) as nets:
        _, cast = serving(nets, tmp_path, "--start-clients", "2", "--rate", "1")
        first, one = client(nets, tmp_path, 0, "wire0")
        # Its way to the first network is closed until later, so that it is found on the second.
        nets.inside("c1", "ip", "link", "set", "wire0", "down")
        second, two = client(nets, tmp_path, 1, "wire0", "wire1")

        def under_way() -> Any:
            clients = (cast_of(nets, tmp_path, cast)["sender"] or {"clients": []})["clients"]
            return len(clients) == 2 and min(c["have"] for c in clients) > 0.1 and clients

        assert {c["interface"] for c in eventually(under_way)} == {"nic0", "nic1"}
        nets.inside("c1", "ip", "link", "set", "wire0", "up")
        nets.inside("s", "ip", "link", "delete", "nic1")

        def lost() -> Any:
            legs = cast_of(nets, tmp_path, cast)["sender"]["legs"]
            return next((leg for leg in legs if leg["lost"]), None)

        leg = eventually(lost)
        assert (leg["interface"], leg["lost"]) == ("nic1", "the interface nic1 is gone")
        assert first.result(SECONDS)["multicast"] > 0.9 * SIZE
        result = second.result(SECONDS)
    assert result["state"] == "done"
    assert one.read_bytes() == two.read_bytes() == source.read_bytes()


def test_machines_boot_from_the_interface_of_their_network(source: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    tree(tmp_path / "tree")
    with two_networks("boot", [(0,), (1,)]) as nets:
        server = nets.start("s", *serve_words(tmp_path, "--boot-tree", str(tmp_path / "tree")))
        server.until(lambda e: e["event"] == "serving", SECONDS)
        for net in (0, 1):
            ours = f"10.6.{net}.1"
            fetch = (
                f"import urllib.request as u; print(u.urlopen('http://{ours}:8080/{OWN_SCRIPT}').read())"
            )
            script = nets.inside(f"c{net}", sys.executable, "-c", fetch)
            assert f"fleetcast.server=https://{ours}:8443" in script


def test_a_network_with_link_local_addresses_alone(source: Path, tmp_path: Path) -> None:
    """Discovery, TLS and the cast by fe80::/64, which is on both sides of the server: zones tell."""
    with two_networks("six", [(0,), (1,)], ipv4=False) as nets:
        server, cast = serving(nets, tmp_path, "--start-clients", "2")
        urls = server.until(lambda e: e["event"] == "serving", SECONDS)["urls"]
        assert urls == ["https://[fe80::1:1]:8443", "https://[fe80::2:1]:8443"]
        clients = [client(nets, tmp_path, n, f"wire{n}") for n in (0, 1)]
        results = [peer.result(SECONDS) for peer, _ in clients]
        seen = cast_of(nets, tmp_path, cast)
    assert [r["state"] for r in results] == ["done", "done"]
    assert all(r["multicast"] == r["total"] for r in results)
    assert all(target.read_bytes() == source.read_bytes() for _, target in clients)
    assert [p["state"] for p in seen["parts"]] == ["done", "done"]


def test_send_and_receive_find_each_other_by_link_local_addresses(source: Path, tmp_path: Path) -> None:
    image = str(tmp_path / "images/sample.fcast")
    with two_networks("sixes", [(0,), (1,)], ipv4=False) as nets:
        words = ("--interface", "nic0", "--interface", "nic1", "--clients", "2", "--json")
        sender = nets.start("s", "castserver", "send", image, *words)
        casting = sender.until(lambda e: e["event"] == "casting", SECONDS)
        targets = [blank(tmp_path / f"target{n}.raw", SIZE) for n in (0, 1)]
        # One finds the sender; the other is told its address, and adds the zone itself.
        told = ("--server", casting["urls"][1], "--key", casting["key"])
        receivers = [
            nets.start(
                f"c{n}", "castserver", "receive", str(targets[n]), "--interface", f"wire{n}", *how
            )
            for n, how in enumerate((("--trust-first", "--yes", "--json"), (*told, "--yes", "--json")))
        ]
        results = [receiver.result(SECONDS) for receiver in receivers]
        sent = sender.result(SECONDS)
    assert all(r["unicast"] == 0 for r in results)
    assert {c["interface"] for c in sent["clients"]} == {"nic0", "nic1"}
    assert all(target.read_bytes() == source.read_bytes() for target in targets)

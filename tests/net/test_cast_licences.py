"""A cast with licences to four machines over a real switch, its server killed at named moments."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from castserver.database.database import Database
from castserver.database.databaseplace import Place, PostgresPlace
from castserver.database.tables import LicenceUseRow, PartRow

from tests.support.castlab import WIRE, CastLab, Peer, cast_lab
from tests.support.figures import tell
from tests.support.images import blank
from tests.support.licences import ISSUER
from tests.support.licensedmedium import SIZE, balance, licensed_medium
from tests.support.licensedserver import MOMENTS, NEVER
from tests.support.postgrescluster import Cluster

pytestmark = pytest.mark.root

MACHINES, LICENCES = 4, 10
SECONDS = 120
SERVER = (sys.executable, "-m", "tests.support.licensedserver")
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)
FLEETCAST = (sys.executable, "-m", "castserver")
KILLED = -9
VERIFYING = "verifying"


def serve(lab: CastLab, folder: Path, moment: str, place: Place) -> Peer:
    """The server, which dies at ``moment``; the cast it has open goes on."""
    kept = ("--database", str(place)) if isinstance(place, PostgresPlace) else ()
    where = ("--state", str(folder / "state"), "--images", str(folder / "images"))
    cast = ("--image", "system", "--start-clients", str(MACHINES), "--rate", "4")
    medium = ("--media", str(folder / "medium.img"), "--licence-issuer", ISSUER.public.hex())
    words = ("serve", "--json", "--interface", WIRE, *where, *medium, *cast, *kept)
    own = NEVER if moment.startswith(VERIFYING) else moment
    return lab.start("s", *SERVER, own, *words)


def cast_through(folder: Path, moments: Sequence[str], place: Place | None = None) -> None:
    """A cast whose server is killed at each of ``moments`` in turn, and comes back: all must be well.

    Its database is at ``place``; usually in its state directory.
    """
    place = place or folder / "state/server.sqlite"
    (folder / "images").mkdir()
    raw = licensed_medium(folder / "medium.img", folder / "source.raw", LICENCES)
    targets = [blank(folder / f"target{n}.raw", SIZE) for n in range(MACHINES)]
    with cast_lab("licence", MACHINES) as lab:
        servers = [serve(lab, folder, next(iter(moments), NEVER), place)]
        clients = [
            lab.start(f"r{n}", *CLIENT, "--target", str(target)) for n, target in enumerate(targets)
        ]
        for now, after in pairwise((*moments, NEVER)):
            await_death(servers[-1], now, clients)
            servers.append(serve(lab, folder, after, place))
        for client in clients:
            assert client.result(SECONDS)["state"] == "done"
        uses = settled(place)
        state = ("--json", "--state", str(folder / "state"))
        listing = lab.start("s", *FLEETCAST, "licences", "list", *state).result(SECONDS)
        servers[-1].process.terminate()
        servers[-1].process.wait(SECONDS)
    wanted = hashlib.sha256(raw.read_bytes()).digest()
    assert all(hashlib.sha256(target.read_bytes()).digest() == wanted for target in targets)
    found = balance(folder / "medium.img")
    assert (found.consumed, found.reserved, found.left) == (MACHINES, 0, LICENCES - MACHINES)
    database = Database.at(place, alone=False)
    assert Counter(row.state for row in database.all(PartRow)) == {"done": MACHINES}
    (listed,) = listing["media"][0]["licences"]
    assert (listed["left"], listed["consumed"]) == (LICENCES - MACHINES, MACHINES)
    assert uses == {"consumed": MACHINES}
    database.close()
    tell(server_died_at=states_of(moments), machines_done=MACHINES, licences_consumed=found.consumed)


def states_of(moments: Sequence[str]) -> Counter[str]:
    """How many of ``moments`` are in each state of a cast."""
    names = [moment.partition(":")[0] for moment in moments]
    return Counter("verify" if n == VERIFYING else MOMENTS[n].state for n in names)


def await_death(server: Peer, moment: str, clients: Sequence[Peer]) -> None:
    """Return when the server is dead: by its own hand at ``moment``, or by ours.

    That a machine verifies its disk is over before the server hears of it, so we look at the machines.
    """
    name, _, times = moment.partition(":")
    if name == VERIFYING:
        begun, end = verifying(clients), time.monotonic() + SECONDS
        while verifying(clients) < begun + int(times) and time.monotonic() < end:
            time.sleep(0.005)
        assert verifying(clients) >= begun + int(times), told(server, *clients)
        server.process.kill()
    with suppress(TimeoutExpired):
        server.process.wait(SECONDS)
    assert server.process.poll() == KILLED, told(server, *clients)


def verifying(clients: Sequence[Peer]) -> int:
    """How many machines verify their disk, or have done so."""
    return sum(any("state=verifying" in e.get("line", "") for e in c.events) for c in clients)


def told(*peers: Peer) -> str:
    """What programs said last."""
    return "\n".join(str([*peer.events[-3:], *peer.other[-8:]]) for peer in peers)


def settled(place: Place) -> Counter[str]:
    """How many uses of licences are in which state, once nothing is to be done with any."""
    end = time.monotonic() + SECONDS
    database = Database.at(place, alone=False)
    try:
        while True:
            states = Counter(row.state for row in database.all(LicenceUseRow))
            if set(states) <= {"consumed"} or time.monotonic() > end:
                return states
            time.sleep(0.1)
    finally:
        database.close()


@pytest.mark.parametrize(
    "moments",
    [("half-reserved:2", "casting:6", "half-consumed:1"), ("join:3", "reserved:2", "verifying:1")],
    ids=" ".join,
)
def test_a_server_killed_in_a_cast_consumes_each_licence_once(
    tmp_path: Path, moments: tuple[str, ...]
) -> None:
    cast_through(tmp_path, moments)


# Thirty moments, three to a cast; the last is one that comes, however far the machines had got before.
THIRTY = [
    ("wanted:1", "casting:1", "proven:1"),
    ("half-reserved:1", "casting:4", "due:1"),
    ("reserved:1", "casting:5", "consumed:1"),
    ("join:1", "casting:6", "settled:1"),
    ("joined:1", "casting:2", "verifying:1"),
    ("wanted:3", "joined:2", "verifying:2"),
    ("half-reserved:4", "joined:1", "half-consumed:1"),
    ("reserved:3", "joined:3", "verifying:1"),
    ("join:4", "casting:6", "verifying:1"),
    ("reserved:4", "joined:4", "proven:2"),
]


@pytest.mark.full
@pytest.mark.parametrize("moments", THIRTY, ids=" ".join)
def test_thirty_moments_of_death(tmp_path: Path, moments: tuple[str, ...]) -> None:
    cast_through(tmp_path, moments)


# The power goes in the middle of a write of the ledger: of either copy, and of the repair of one.
TORN = [
    ("torn-reserved:1", "torn-reserved:2", "torn-consumed:1"),
    ("torn-reserved:4", "torn-consumed:2", "torn-consumed:1"),
    ("torn-reserved:3", "torn-reserved:1", "torn-consumed:3"),
]


@pytest.mark.full
@pytest.mark.parametrize("moments", TORN, ids=" ".join)
def test_a_ledger_that_was_torn_in_a_write_loses_no_licence(
    tmp_path: Path, moments: tuple[str, ...]
) -> None:
    cast_through(tmp_path, moments)


@pytest.mark.full
@pytest.mark.parametrize("moments", [THIRTY[2], THIRTY[6]], ids=" ".join)
def test_moments_of_death_with_the_database_on_postgresql(
    tmp_path: Path, moments: tuple[str, ...]
) -> None:
    cluster = Cluster(lasting=True)
    try:
        cluster.start()
        cast_through(tmp_path, moments, cluster.place("postgres"))
    finally:
        cluster.remove()


def test_the_thirty_are_spread_over_every_state() -> None:
    states = states_of([moment for three in THIRTY for moment in three])
    tell(moments_of_all_thirty=states)
    assert sum(states.values()) == 30
    assert set(states) == {"join", "reserve", "cast", "verify", "consume"}
    assert min(states.values()) >= 4

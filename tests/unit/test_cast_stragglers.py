"""Clients behind slow links: who is moved out of the group, parked, or called back."""

from __future__ import annotations

from dataclasses import replace

from castcore.cast.actions import LookForLeak, Membership
from castcore.cast.apart import Apart
from castcore.cast.blocks import BlockTable
from castcore.cast.fetching import IDLE_BEACONS, Fetching
from castcore.cast.ledger import Ledger
from castcore.cast.messages import Beacon, Feedback, FeedbackFlag, Move
from castcore.cast.states import ClientClass, Place, ReceiverEvent, ReceiverState, SenderState
from castcore.cast.stragglers import Standing, Stragglers, loss_followed

SECOND_OF_PACKETS = 10_000
NOTHING = Feedback(1, 1, 1, ClientClass.OK, FeedbackFlag(0), 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Group:
    """Clients with constant loss; a moved one fetches ``unicast`` chunks a second."""

    def __init__(self, *losses: float, unicast: int = 10, leaks: bool = False) -> None:
        self.losses, self.unicast, self.leaks = list(losses), unicast, leaks
        self.standings = [Standing() for _ in losses]
        self.said = [NOTHING for _ in losses]
        self.judge = Stragglers(chunk_size=1e6, datagram_size=1452)
        self.others = False
        self.now = 0.0

    def run(self, seconds: int, *, busy: bool = True) -> list[Place]:
        for _ in range(seconds):
            self.now += 1.0
            for number in range(len(self.losses)):
                self._live(number, busy=busy)
            members = list(zip(self.standings, self.said, strict=True))
            self.judge.judge(self.now, members, others=self.others, busy=busy)
        return [s.place for s in self.standings]

    def _live(self, number: int, *, busy: bool) -> None:
        said, lost = self.said[number], int(self.losses[number] * SECOND_OF_PACKETS)
        if self.standings[number].moved:
            flags = FeedbackFlag.LEAK if self.leaks else FeedbackFlag(0)
            self.said[number] = replace(said, chunks=said.chunks + self.unicast, flags=flags)
        elif busy:
            received = said.received + SECOND_OF_PACKETS - lost
            self.said[number] = replace(said, received=received, net_lost=said.net_lost + lost)


def test_a_link_that_passes_a_part_of_the_stream_is_moved_after_two_seconds() -> None:
    group = Group(0, 0, 0, 0.9)
    assert group.run(2) == [Place.GROUP] * 4
    assert group.run(1) == [Place.GROUP] * 3 + [Place.UNICAST]


def test_a_machine_that_stood_still_for_a_second_stays() -> None:
    group = Group(0, 0, 0, 0.0)
    for loss in (0.0, 0.9, 0.0, 0.9, 0.0):
        group.losses[3] = loss
        assert group.run(1) == [Place.GROUP] * 4


def test_a_bad_cable_is_borne_for_five_seconds() -> None:
    group = Group(0, 0, 0.001, 0.1)
    assert group.run(6) == [Place.GROUP] * 4
    assert group.run(1) == [Place.GROUP] * 3 + [Place.UNICAST]


def test_loss_that_ends_is_forgotten() -> None:
    group = Group(0, 0, 0.1)
    group.run(4)
    group.losses[2] = 0.0
    group.run(1)
    group.losses[2] = 0.1
    assert group.run(5) == [Place.GROUP] * 3


def test_of_two_clients_the_better_one_is_the_measure() -> None:
    assert Group(0, 0.6).run(3) == [Place.GROUP, Place.UNICAST]


def test_nobody_is_moved_when_most_lose_or_when_there_is_nobody_else() -> None:
    assert Group(0.02, 0.5, 0.5).run(20) == [Place.GROUP] * 3
    assert Group(0.9).run(20) == [Place.GROUP]


def test_the_last_one_left_needs_no_group() -> None:
    group = Group(0.1)
    group.others = True
    assert group.run(3) == [Place.UNICAST]
    group = Group(0.01)
    group.others = True
    assert group.run(20) == [Place.GROUP]


def test_a_flooded_port_waits_until_the_group_is_idle() -> None:
    group = Group(0, 0, 0.9, leaks=True)
    assert group.run(4)[2] is Place.PARKED
    assert group.run(1, busy=False)[2] is Place.UNICAST


def test_clients_that_unicast_starves_are_called_back_when_the_group_is_idle() -> None:
    # 1000 packets of 1452 bytes a second passed: their links carry more than one chunk of 1 MB.
    group = Group(0, 0, 0, 0.9, 0.9, unicast=0)
    assert group.run(10)[3:] == [Place.UNICAST] * 2
    assert group.run(4, busy=False)[3:] == [Place.UNICAST] * 2
    assert group.run(3, busy=False) == [Place.GROUP] * 5


def test_one_alone_and_those_whose_links_are_full_stay_on_unicast() -> None:
    alone = Group(0, 0, 0.9, unicast=0)
    alone.run(3)
    assert alone.run(30, busy=False)[2] is Place.UNICAST
    full = Group(0, 0, 0, 0.9, 0.9, unicast=1)
    full.run(3)
    assert full.run(30, busy=False)[3:] == [Place.UNICAST] * 2


def test_the_rate_does_not_follow_links_that_are_moved() -> None:
    assert loss_followed([0, 0.02]) == 0.01
    assert loss_followed([0, 0, 0.9]) == 0.01
    assert loss_followed([0, 0.005, 0.9, 0.9]) == 0.08
    assert loss_followed([0.02, 0.9]) == 1.0
    assert loss_followed([0.9]) == 1.0


def test_only_the_newest_word_counts() -> None:
    apart = Apart()
    assert apart.told(Move(1, 1, 5, Place.UNICAST)) is ReceiverEvent.MOVE
    assert apart.told(Move(1, 1, 4, Place.GROUP)) is None
    assert apart.told(Move(1, 1, 5, Place.GROUP)) is None
    assert apart.told(Move(1, 1, 6, Place.PARKED)) is ReceiverEvent.PARK


def test_a_moved_client_leaves_once_looks_for_leaks_and_comes_back() -> None:
    apart = Apart()
    assert apart.actions(0.0, ReceiverState.RECEIVING) == []
    assert apart.actions(1.0, ReceiverState.MOVED) == [Membership(joined=False)]
    assert apart.actions(3.9, ReceiverState.MOVED) == []
    assert apart.actions(4.0, ReceiverState.MOVED) == [LookForLeak()]
    apart.leaks = True
    assert apart.actions(7.1, ReceiverState.PARKED) == [LookForLeak()]
    assert apart.actions(7.2, ReceiverState.RECEIVING) == [Membership(joined=True)]
    assert not apart.leaks
    assert apart.actions(60.0, ReceiverState.RECEIVING) == []


def test_who_is_complete_does_not_enter_the_group_again() -> None:
    apart = Apart()
    apart.actions(0.0, ReceiverState.MOVED)
    assert apart.actions(1.0, ReceiverState.FLUSHING) == []


def beacon(number: int, state: SenderState) -> Beacon:
    return Beacon(1, number, state, 0, 0, 0, 0, 1, 1, 1000, 200, 100)


def test_holes_are_fetched_when_the_sender_stays_idle_however_long_that_takes() -> None:
    fetching = Fetching(Ledger(BlockTable.build([1000] * 20)))
    for number in range(IDLE_BEACONS - 1):
        fetching.heard(beacon(number, SenderState.TAIL))
    # A minute without a word says nothing of what the sender does.
    assert fetching.choose(60.0, ReceiverState.FILLING, {}) == []
    fetching.heard(beacon(IDLE_BEACONS, SenderState.TAIL))
    assert fetching.choose(60.0, ReceiverState.FILLING, {}) != []


def test_a_lap_or_a_useful_symbol_puts_fetching_off() -> None:
    fetching = Fetching(Ledger(BlockTable.build([1000] * 20)))
    for number in range(10 * IDLE_BEACONS):
        fetching.heard(beacon(number, SenderState.TAIL))
        if number % 3 == 0:
            fetching.useful()
        elif number % 5 == 0:
            fetching.heard(beacon(number, SenderState.LAP))
        assert fetching.choose(number / 10, ReceiverState.FILLING, {}) == []


def test_a_moved_client_fetches_at_once_and_a_parked_one_nothing() -> None:
    fetching = Fetching(Ledger(BlockTable.build([1000] * 20)))
    assert fetching.choose(0.0, ReceiverState.RECEIVING, {}) == []
    assert fetching.choose(0.0, ReceiverState.PARKED, {}) == []
    assert len(fetching.choose(0.0, ReceiverState.MOVED, {})) == 8
    assert fetching.choose(0.0, ReceiverState.MOVED, {}) == []

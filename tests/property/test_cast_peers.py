"""Whatever clients do in whatever order: liars stay out, no seed is overrun, nobody stays for nobody."""

from __future__ import annotations

import random
from collections import Counter

from castcore.cast.peers import (
    ASKED_SECONDS,
    SEEDS_GIVEN,
    SEEDS_PER_CLIENT,
    UPLOAD_DEPTH,
    UPLOADS_MAX,
    Peers,
    Seed,
    SeedChoice,
    Tracker,
    UploadBudget,
)
from castcore.cast.peerwire import NONCE_SIZE, pack, seal, unseal
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st

KEY = bytes(range(32))
SEEDS = [Seed(f"10.9.0.{n}", 5000 + n) for n in range(6)]


@given(seed=st.integers(0, 10_000), liars=st.sets(st.sampled_from(SEEDS), max_size=4))
def test_a_liar_is_asked_no_more_than_it_was_being_asked(seed: int, liars: set[Seed]) -> None:
    source, choice = random.Random(seed), SeedChoice()
    asking: list[Seed] = []
    caught: set[Seed] = set()
    for _ in range(200):
        match source.randrange(3):
            case 0:
                choice.update(tuple(source.sample(SEEDS, source.randint(0, SEEDS_GIVEN))))
            case 1:
                taken = choice.take(frozenset(source.sample(SEEDS, source.randint(0, 2))))
                if taken is not None:
                    assert taken not in caught
                    asking.append(taken)
            case _ if asking:
                answered = asking.pop(source.randrange(len(asking)))
                if answered in liars:
                    choice.ban(answered)
                    caught.add(answered)
                else:
                    choice.done(answered)
        assert max(Counter(asking).values(), default=0) <= UPLOADS_MAX
    assert choice.banned == len(caught)


@given(seed=st.integers(0, 10_000))
def test_only_seeds_that_finished_and_stay_are_named(seed: int) -> None:
    source, dice, tracker = random.Random(seed), random.Random(seed), Tracker()
    fetching: dict[str, int] = {}
    serving: dict[str, Seed] = {}
    for number in range(150):
        name = f"pc{source.randrange(12)}"
        match source.randrange(3):
            case 0:
                tracker.joined(number, name, number)
                fetching[name] = number
                serving.pop(name, None)
                if source.random() < 0.7:
                    made = Seed(f"10.9.{source.randrange(2)}.7", 1 + number * source.randrange(2))
                    tracker.finished(number, made)
                    serving[name] = made
                    fetching.pop(name, None)
            case _:
                answer = tracker.answer(number, name, "10.9.0.1", dice)
                lately = [n for n, at in fetching.items() if number - at <= ASKED_SECONDS]
                assert not answer.stay or (name in serving and lately)
                if name not in serving or not serving[name].port:
                    fetching[name] = number
                if name in serving and not answer.stay:
                    del serving[name]
                assert set(answer.seeds) <= set(serving.values())
    lately = [n for n, at in fetching.items() if 150 - at <= ASKED_SECONDS]
    stays = [tracker.answer(150, name, "10.9.0.1", dice).stay for name in serving]
    assert sum(stays) <= SEEDS_PER_CLIENT * (len(lately) + len(serving))


@given(seed=st.integers(0, 10_000), rate=st.floats(1e4, 1e8))
def test_a_seed_never_sends_faster_than_its_rate(seed: int, rate: float) -> None:
    source, budget = random.Random(seed), UploadBudget(rate)
    now = started = source.random() * 1e4
    sent = 0
    for _ in range(300):
        size = source.randint(1, 65536)
        sent += size
        now += budget.spend(now, size) + source.choice([0.0, 0.0, source.random()])
        assert sent <= rate * (now - started + UPLOAD_DEPTH) * (1 + 1e-6) + 1


@given(answer=st.binary(max_size=200))
def test_nothing_but_a_bad_packet_comes_of_a_strangers_answer(answer: bytes) -> None:
    try:
        unseal(KEY, 7, 3, answer)
    except BadPacket:
        return
    raise AssertionError("taken for sealed")


@given(content=st.binary(max_size=3000), cut=st.integers(0, 3100), flip=st.integers(0, 255))
def test_a_changed_answer_is_refused(content: bytes, cut: int, flip: int) -> None:
    answer = bytearray(seal(KEY, 7, 3, pack(content), bytes(NONCE_SIZE)))
    assert unseal(KEY, 7, 3, bytes(answer)) == content
    at = cut % len(answer)
    answer[at] ^= flip or 1
    try:
        unseal(KEY, 7, 3, bytes(answer))
    except BadPacket:
        return
    raise AssertionError("a changed answer was taken")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(seeds=json_values, stay=json_values)
def test_an_answer_about_peers_is_read_or_refused(seeds: object, stay: object) -> None:
    try:
        read = Peers.from_json({"seeds": seeds, "stay": stay})
    except BadPacket:
        return
    assert len(read.seeds) <= SEEDS_GIVEN
    assert all(0 < s.port < 65536 for s in read.seeds)

"""Finished clients as seeds: who is named, who stays, who is asked, how much is sent at once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from castcore.cast import peerwire
from castcore.cast.peers import (
    ASKED_SECONDS,
    EMPTY_SECONDS,
    LIST_SECONDS,
    SEEDS_GIVEN,
    SEEDS_PER_CLIENT,
    UPLOADS_MAX,
    Peers,
    Seed,
    SeedChoice,
    Tracker,
    UploadBudget,
    same_subnet,
)
from castcore.cast.peerwire import (
    CONTENT_MAX,
    NONCE_SIZE,
    pack,
    request_tag,
    seal,
    unseal,
)
from castcore.errors import BadPacket
from zstandard import ZstdCompressor

KEY, OTHER = bytes(range(32)), bytes(32)
NONCE = bytes(NONCE_SIZE)
NEAR, FAR = "10.9.0.7", "10.8.0.7"


def tracker(seeds: int, network: str = "10.9.0") -> Tracker:
    made = Tracker()
    for number in range(1, seeds + 1):
        made.joined(0.0, f"pc{number}", number)
        made.finished(number, Seed(f"{network}.{number}", 5000 + number))
    return made


def numbers(seed: int = 1) -> random.Random:
    return random.Random(seed)


def test_a_client_is_told_of_a_few_seeds_chosen_by_lot() -> None:
    many, dice = tracker(50), numbers()
    answers = [many.answer(0.0, "late", NEAR, dice) for _ in range(100)]
    assert all(len(set(a.seeds)) == SEEDS_GIVEN and not a.stay for a in answers)
    assert len({seed for a in answers for seed in a.seeds}) == 50


def test_seeds_of_the_same_subnet_come_first() -> None:
    both = tracker(20, "10.8.0")
    both.joined(0.0, "near", 99)
    both.finished(99, Seed("10.9.0.99", 6000))
    assert both.answer(0.0, "late", NEAR, numbers()).seeds[0] == Seed("10.9.0.99", 6000)
    assert all(s.address.startswith("10.8") for s in both.answer(0.0, "late", FAR, numbers()).seeds)


def test_who_serves_nothing_is_not_named() -> None:
    empty = Tracker()
    empty.joined(0.0, "pc1", 1)
    empty.finished(1, Seed("10.9.0.1", 0))
    empty.finished(2, Seed("10.9.0.2", 5000))  # never joined
    assert empty.answer(0.0, "late", NEAR, numbers()) == Peers()


def stays(asked: Tracker, now: float) -> int:
    return sum(asked.answer(now, f"pc{n}", NEAR, numbers()).stay for n in range(1, len(asked) + 1))


def test_so_many_stay_as_those_who_fetch_need() -> None:
    done = tracker(50)
    for name in ("late", "later"):
        done.answer(0.0, name, NEAR, numbers())
    assert stays(done, 1.0) == 2 * SEEDS_PER_CLIENT == len(done)
    assert all(seed.port <= 5008 for seed in done.answer(2.0, "late", NEAR, numbers()).seeds)


def test_nobody_stays_for_those_whom_the_group_serves() -> None:
    assert stays(tracker(50), 1.0) == 0


def test_all_stay_for_a_moment_for_who_may_not_hear_the_group() -> None:
    done = tracker(2)
    done.joined(1.0, "new", 99)
    assert stays(done, 2.0) == 2
    assert stays(done, 1.0 + ASKED_SECONDS + 1) == 0


def test_nobody_stays_when_who_fetched_has_finished_or_fallen_silent() -> None:
    done, silent = tracker(50), tracker(50)
    for one in (done, silent):
        one.joined(0.0, "late", 99)
        one.answer(0.0, "late", NEAR, numbers())
    done.finished(99, Seed(NEAR, 0))
    assert stays(done, 1.0) == 0
    assert stays(silent, ASKED_SECONDS + 1) == 0


def test_who_takes_part_anew_is_no_seed() -> None:
    again = tracker(1)
    again.joined(0.0, "pc1", 7)
    assert again.answer(0.0, "late", NEAR, numbers()).seeds == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.9.0.1", "10.9.0.250", True),
        ("10.9.0.1", "10.9.1.1", False),
        ("fe80::1", "fe80::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.9.0.1", "::1", False),
        ("testclient", "10.9.0.1", False),
    ],
)
def test_a_subnet_is_judged_by_the_address(one: str, other: str, *, same: bool) -> None:
    assert same_subnet(one, other) is same


def test_the_least_busy_seed_is_asked_and_none_too_often() -> None:
    choice, one, two = SeedChoice(), Seed(NEAR, 1), Seed(NEAR, 2)
    choice.update((one, two))
    taken = [choice.take() for _ in range(2 * UPLOADS_MAX)]
    assert [taken.count(one), taken.count(two)] == [UPLOADS_MAX, UPLOADS_MAX]
    assert choice.take() is None, "a client waits for a seed"
    choice.done(one)
    assert choice.take(frozenset({one})) is None
    assert choice.take() == one


def test_a_liar_is_never_asked_again_whatever_the_server_says() -> None:
    choice, liar, good = SeedChoice(), Seed(NEAR, 1), Seed(NEAR, 2)
    choice.update((liar,))
    assert choice.take() == liar
    choice.ban(liar)
    choice.update((liar, good))
    assert [choice.take(), choice.take(), choice.take()] == [good, good, None]
    assert choice.banned == 1


def test_the_server_is_asked_for_seeds_now_and_then() -> None:
    choice = SeedChoice()
    assert choice.due(100.0)
    assert not choice.due(100.0 + EMPTY_SECONDS / 2)
    assert choice.due(101.0), "it knows of none, and waits"
    choice.update((Seed(NEAR, 1),))
    assert not choice.due(101.0 + LIST_SECONDS / 2)
    assert choice.due(101.0 + LIST_SECONDS)


def test_uploads_are_few_and_keep_to_the_rate() -> None:
    budget = UploadBudget(rate=1e6)
    assert [budget.enter() for _ in range(UPLOADS_MAX + 1)] == [True] * UPLOADS_MAX + [False]
    budget.leave()
    assert budget.enter()
    now, sent = 50.0, 0
    while now < 60.0:
        sent += 10_000
        now += budget.spend(now, 10_000)
    assert 10e6 <= sent <= 10.1e6


def test_a_chunk_travels_sealed_and_packed() -> None:
    dull, noise = bytes(1 << 20), random.Random(1).randbytes(1 << 20)
    for content in (dull, noise, b""):
        answer = seal(KEY, 7, 3, pack(content), NONCE)
        assert unseal(KEY, 7, 3, answer) == content
        assert len(answer) <= len(content) + 64
    assert len(seal(KEY, 7, 3, pack(dull), NONCE)) < 1000


def test_what_is_not_sealed_for_this_chunk_of_this_cast_is_refused() -> None:
    answer = seal(KEY, 7, 3, pack(b"content"), NONCE)
    changed = answer[:-1] + bytes([answer[-1] ^ 1])
    wrong = [(OTHER, 7, 3, answer), (KEY, 8, 3, answer), (KEY, 7, 4, answer), (KEY, 7, 3, changed)]
    wrong += [(KEY, 7, 3, answer[:cut]) for cut in range(len(answer))]
    for key, session, chunk, data in wrong:
        with pytest.raises(BadPacket):
            unseal(key, session, chunk, data)
    assert len({request_tag(k, s, c) for k in (KEY, OTHER) for s in (7, 8) for c in (3, 4)}) == 8


def test_a_member_that_lies_about_its_frame_makes_nobody_allocate() -> None:
    bomb = ZstdCompressor().compress(bytes(CONTENT_MAX + 1))
    endless = ZstdCompressor(write_content_size=False).compress(b"size unknown")
    for body in (b"\1" + bomb, b"\1" + endless, b"\1no frame", b"\2form", b""):
        sealed = _sealed(body)
        with pytest.raises(BadPacket):
            unseal(KEY, 7, 3, sealed)


def _sealed(body: bytes) -> bytes:
    return NONCE + peerwire._cipher(KEY).encrypt(NONCE, body, peerwire._ABOUT.pack(7, 3))


def test_the_answer_about_peers_is_read_back_and_nonsense_refused() -> None:
    answer = Peers((Seed("10.9.0.1", 5000), Seed("fe80::1", 1)), stay=True)
    assert Peers.from_json(answer.to_json()) == answer
    good: dict[str, Any] = {"seeds": [["10.9.0.1", 5000]], "stay": False}
    assert len(Peers.from_json(good | {"seeds": good["seeds"] * 100}).seeds) == SEEDS_GIVEN
    nonsense: tuple[Any, ...] = (
        None,
        [],
        {},
        {"seeds": []},
        {"seeds": 5, "stay": True},
        {"seeds": {"a": 1}, "stay": True},
        {"seeds": [5], "stay": True},
        {"seeds": ["ab"], "stay": True},
        {"seeds": [["host.example", 5000]], "stay": True},
        {"seeds": [["10.9.0.1", 0]], "stay": True},
        {"seeds": [["10.9.0.1", True]], "stay": True},
        {"seeds": [["10.9.0.1", "80"]], "stay": True},
        {"seeds": [["10.9.0.1", 5000, 1]], "stay": True},
        {"seeds": [[3, 5000]], "stay": True},
        {"seeds": [], "stay": 1},
    )
    for bad in nonsense:
        with pytest.raises(BadPacket):
            Peers.from_json(bad)

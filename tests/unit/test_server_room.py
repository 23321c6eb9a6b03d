from __future__ import annotations

import html
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from castcore.cast.states import ClientClass
from castcore.control import ClientState, Report
from castserver.accounts.roles import Role
from castserver.api.headup import RESULT_SECONDS, HeadUp, headup, latest_result
from castserver.api.metrics import render
from castserver.api.views import PartView
from castserver.casts.castmodel import MOST_SHOWN, Request
from castserver.casts.lagging import Lag
from castserver.casts.policy import CastRules, CastState, PartState
from castserver.console.advice import advice
from castserver.console.languages import Language, Words
from castserver.console.overviewboard import MOST_ENDED
from castserver.console.room import LOST, Phase, Tile, average, coarse, counts, megabytes, names, phase
from castserver.media.mediastate import Medium, came

from tests.support.serverlab import ROOT, FakeClient, ServerLab
from tests.support.watchedcast import casting, gathered, seen

GIB = 1 << 30
FROM_CONSOLE = {"X-Fleetcast-Console": "1"}
MEDIUM = Medium("a", "/dev/sdx", "7f00", "Room 1")


@pytest.fixture
def lab() -> ServerLab:
    lab = ServerLab()
    lab.log_in()
    return lab


def text(lab: ServerLab, path: str, language: str = "en") -> str:
    """The page at ``path`` without its markup."""
    answer = lab.http.get(path, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))


def test_the_room_shows_every_machine_its_phase_and_why_it_falls_behind(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 6)
    states = [seen(one) for one in clients]
    states[1] = seen(clients[1], kind=ClientClass.DISK_SLOW, rate=31_000_000)
    states[2] = seen(clients[2], have=0.1, net_lost=5000)
    casting(lab, cast, *states)
    for one in clients[:3]:
        one.report("receiving", cast=cast, done=40, total=100, multicast=GIB)
    clients[3].report("verifying", cast=cast, done=30, total=100)
    clients[4].report("done", cast=cast, root=ROOT)
    clients[5].report("failed", cast=cast, message="no space left")
    page = text(lab, f"/casts/{cast}")
    for told in (
        "1 of 6 proven",
        "110.0 MB/s",
        "receiving 3",
        "verifying 30%",
        "31 MB/s",
        "about 4 min left",
        "slow disk",
        "network loss",
        "Its disk is slower than the cast",
        "no space left",
        "Its disk is incomplete and does not boot",
    ):
        assert told in page, told
    japanese = text(lab, f"/casts/{cast}", "ja")
    for told in (
        "6 台中 1 台検証済み",
        "低速なディスク",
        "ネットワーク損失",
        "検証中 30%",
        "残り約 4 分",
    ):
        assert told in japanese, told
    parts = lab.operator("GET", f"/casts/{cast}")["parts"]
    assert [part["lag"] for part in parts][:3] == [None, "slow disk", "network loss"]


def test_the_overview_leads_to_the_room_and_names_who_is_in_trouble(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 3)
    casting(lab, cast, *(seen(one) for one in clients))
    clients[2].report("failed", cast=cast, message="<b>no space left")
    page = lab.http.get("/").text
    assert f'href="/casts/{cast}"' in page
    assert "&lt;b&gt;no space left" in page
    assert "<b>no space left" not in page


def test_the_rates_are_a_chart_once_there_are_two_samples(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 1)
    lab.parts.rates._clock = lab.clock
    for second in range(4):
        assert ('class="chart"' in lab.http.get(f"/casts/{cast}").text) is (second > 2)
        casting(lab, cast, seen(clients[0]), sent=second * 100_000_000)
        lab.parts.note_rates()
        lab.clock.now += 1
    page = text(lab, f"/casts/{cast}")
    assert "image 90.0 MB/s" in page
    assert "repair 10.0 MB/s" in page
    assert "goodput of a machine 98.0 MB/s" in page
    assert lab.operator("GET", f"/casts/{cast}/rates")[-1] == {
        "at": 3.0,
        "fresh": 90_000_000,
        "repair": 10_000_000,
        "goodput": 98_000_000,
    }
    lab.operator("POST", f"/casts/{cast}/cancel")
    assert 'class="chart"' in lab.http.get(f"/casts/{cast}").text


def test_a_cast_that_does_not_exist_has_no_page(lab: ServerLab) -> None:
    for path in ("/casts/c404", "/casts/c404/ask/start", "/live/events?cast=c404"):
        assert lab.http.get(path).status_code == 404, path
    assert lab.http.get("/casts/c404/ask/erase").status_code == 422


def test_live_pages_are_for_those_who_are_logged_in(lab: ServerLab) -> None:
    cast, _ = gathered(lab, 1)
    lab.http.cookies.clear()
    for path in ("/live/events", f"/casts/{cast}/ask/start", "/ask/machines?group=ROOM1"):
        assert lab.http.get(path).status_code == 401, path
    assert lab.http.post("/ask/cast", json={"image": "lab"}, headers=FROM_CONSOLE).status_code == 401
    assert lab.http.get(f"/casts/{cast}", follow_redirects=False).headers["location"] == "/login"
    # Nobody learns by asking which casts there are.
    assert lab.http.get("/casts/c404", follow_redirects=False).headers["location"] == "/login"
    lab.log_in(Role.VIEWER)
    assert lab.http.get(f"/casts/{cast}").status_code == 200


# -- what is asked before something is done


def test_the_start_says_how_many_machines_it_erases(lab: ServerLab) -> None:
    cast, _ = gathered(lab, 10)
    FakeClient(lab, 11).register()
    path = f"/casts/{cast}/ask/start"
    page = lab.http.get(path).text
    assert 'data-title="Start casting lab?"' in page
    assert 'data-yes="Erase 10 machines and cast"' in page
    assert 'data-weight="10"' in page
    told = text(lab, path)
    assert "The disks of 10 machines are erased and get the image lab:" in told
    assert "52:54:00:00:00:01" in told
    assert "and 2 more" in told
    assert "1 more have been asked" in told
    assert "Every machine that shows up later is erased too" in told
    assert "10 台のディスクが消去され" in text(lab, path, "ja")


def test_the_start_for_named_machines_speaks_of_no_others(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab", "clients": [client.id]})["cast"]
    client.join(cast)
    told = text(lab, f"/casts/{cast}/ask/start")
    assert "The disk of 1 machine is erased" in told
    assert "later" not in told


def test_the_cancel_says_what_is_left_behind(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 5)
    FakeClient(lab, 6).register()
    told = text(lab, f"/casts/{cast}/ask/cancel")
    assert "incomplete" not in told
    assert "Not begun, their disks are as they were: 6" in told
    casting(lab, cast, *(seen(one) for one in clients))
    for one in clients[:2]:
        one.report("done", cast=cast, root=ROOT)
    told = text(lab, f"/casts/{cast}/ask/cancel")
    assert "Proven, and keep the image: 2" in told
    assert "Left with an incomplete disk that does not boot: 3" in told
    other = lab.operator("POST", "/casts", {"image": "lab", "clients": []})["cast"]
    assert "no disk was touched" in text(lab, f"/casts/{other}/ask/cancel")


def test_a_retry_says_which_machines_are_erased_again(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 3)
    casting(lab, cast, *(seen(one) for one in clients))
    assert 'data-do="retry"' not in lab.http.get(f"/casts/{cast}").text
    clients[0].report("done", cast=cast, root=ROOT)
    for one in clients[1:]:
        one.report("failed", cast=cast, message="no space left")
    lab.clients.get(clients[2].id).heard = 0.0
    assert 'data-do="retry"' in lab.http.get(f"/casts/{cast}").text
    page = lab.http.get(f"/casts/{cast}/ask/retry").text
    assert 'data-yes="Erase 1 machine and cast"' in page
    assert "52:54:00:00:00:02" in page
    assert "Not here now, and left as they are: 1" in page
    lab.http.post(f"/api/v1/casts/{cast}/retry", json={}, headers=FROM_CONSOLE)
    parts = lab.operator("GET", f"/casts/{cast}")["parts"]
    assert [part["state"] for part in parts] == ["done", "ordered", "failed"]


def test_a_cast_is_paused_and_goes_on_by_a_button(lab: ServerLab) -> None:
    cast, clients = gathered(lab, 1)
    casting(lab, cast, seen(clients[0]))
    assert 'data-do="pause"' in lab.http.get("/").text
    lab.operator("POST", f"/casts/{cast}/pause")
    page = lab.http.get(f"/casts/{cast}").text
    assert 'data-do="resume"' in page
    assert 'data-do="pause"' not in page
    assert headup(lab.parts.state(), 0) is HeadUp.CASTING


# -- the pure parts


@pytest.mark.parametrize(
    ("part", "reported", "cast", "shown"),
    [
        (PartState.ORDERED, None, CastState.GATHERING, Phase.WAITING),
        (PartState.ORDERED, ClientState.READY, CastState.RUNNING, Phase.WAITING),
        (PartState.ORDERED, ClientState.PLANNING, CastState.RUNNING, Phase.PREPARING),
        (PartState.JOINED, ClientState.JOINING, CastState.GATHERING, Phase.JOINED),
        (PartState.JOINED, ClientState.RECEIVING, CastState.GATHERING, Phase.JOINED),
        (PartState.JOINED, None, CastState.RUNNING, Phase.JOINED),
        (PartState.JOINED, ClientState.RECEIVING, CastState.RUNNING, Phase.RECEIVING),
        (PartState.JOINED, ClientState.FILLING, CastState.RUNNING, Phase.FILLING),
        (PartState.JOINED, ClientState.VERIFYING, CastState.RUNNING, Phase.VERIFYING),
        # It failed, and tries again by itself.
        (PartState.JOINED, ClientState.FAILED, CastState.RUNNING, Phase.JOINED),
        (PartState.DONE, ClientState.REBOOTING, CastState.RUNNING, Phase.PROVEN),
        (PartState.FAILED, ClientState.FAILED, CastState.RUNNING, Phase.FAILED),
        (PartState.REFUSED, None, CastState.RUNNING, Phase.REFUSED),
        (PartState.GONE, ClientState.RECEIVING, CastState.RUNNING, Phase.GONE),
    ],
)
def test_the_phase_of_a_machine(
    part: PartState, reported: ClientState | None, cast: CastState, shown: Phase
) -> None:
    report = Report(reported) if reported is not None else None
    view = PartView(client="m1", label="", state=part, message="", changed=0, lag=None, report=report)
    assert phase(view, cast) is shown


def tile(**changed: Any) -> Tile:
    return replace(Tile("m1", "PC 7", "", Phase.RECEIVING, 40), **changed)


def test_the_average_counts_those_that_go_on() -> None:
    assert average([]) == 0
    assert average([tile(), tile(phase=Phase.PROVEN, share=None), tile(phase=Phase.FAILED)]) == 70
    assert average([tile(phase=Phase.VERIFYING, share=1), tile(phase=Phase.WAITING, share=None)]) == 50


def test_phases_are_counted_in_their_order() -> None:
    found = [tile(phase=one) for one in (Phase.FAILED, Phase.PROVEN, Phase.WAITING, Phase.PROVEN)]
    assert counts(found) == [(Phase.WAITING, 1), (Phase.PROVEN, 2), (Phase.FAILED, 1)]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, None),
        (0, 0),
        (1, 10),
        (10, 10),
        (41.5, 50),
        (60, 60),
        (61, 120),
        (3600, 3600),
        (3601, 3660),
    ],
)
def test_time_left_is_coarse(seconds: float | None, shown: int | None) -> None:
    assert coarse(seconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"), [(0, 0), (98_400_000, 98), (117_400_000, 120), (1_234_000_000, 1200)]
)
def test_a_rate_has_two_figures(rate: int, shown: int) -> None:
    assert megabytes(rate) == shown


def test_a_label_is_a_name_and_a_model() -> None:
    assert names("ACME Desk 3 · 52:54:00:00:00:01") == ("52:54:00:00:00:01", "ACME Desk 3")
    assert names("Room 1 · left") == ("Room 1 · left", "")


@pytest.mark.parametrize("language", list(Language))
def test_there_is_advice_for_every_trouble(language: Language) -> None:
    words = Words(language)
    said = [advice(words, tile(lag=lag), begun=True) for lag in Lag] + [
        advice(words, tile(phase=one), begun=True) for one in LOST
    ]
    said.append(advice(words, tile(phase=Phase.FAILED), begun=False))
    assert all(said)
    assert len(set(said)) == len(said)
    assert advice(words, tile(), begun=True) == ""


def test_the_head_up_display_goes_from_no_medium_to_the_result(lab: ServerLab) -> None:
    def shown(later: int = 0) -> HeadUp:
        return headup(lab.parts.state(), int(ended or 0) + later)

    ended: int | None = 0
    assert shown() is HeadUp.NO_MEDIUM
    lab.media._now = came(lab.media.now, MEDIUM)
    assert shown() is HeadUp.MEDIUM
    cast, clients = gathered(lab, 1)
    assert shown() is HeadUp.CLIENTS
    casting(lab, cast, seen(clients[0]))
    assert shown() is HeadUp.CASTING
    clients[0].report("done", cast=cast, root=ROOT)
    ended = lab.operator("GET", f"/casts/{cast}")["ended"]
    assert shown() is HeadUp.RESULT
    assert shown(RESULT_SECONDS) is HeadUp.CLIENTS
    lab.clock.now += 3600
    assert shown(RESULT_SECONDS) is HeadUp.MEDIUM


def test_few_casts_that_ended_are_shown(lab: ServerLab) -> None:
    for _ in range(MOST_ENDED + 3):
        lab.casts.cancel(lab.casts.create(Request("lab", CastRules(None))))
    waiting = lab.operator("POST", "/casts", {"image": "lab"})["cast"]
    page = lab.http.get("/").text
    assert len(re.findall(r'<article id="cast-', page)) == MOST_ENDED + 1
    assert f'id="cast-{waiting}"' in page
    assert "3 older ones are not shown here." in page


def test_the_live_state_has_what_goes_on_and_what_ended_last(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, waiting = (lab.casts.create(Request("lab", CastRules(None))) for _ in range(2))
    for _ in range(MOST_SHOWN + 4):
        lab.casts.cancel(lab.casts.create(Request("lab", CastRules(None))))
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    lab.casts.cancel(first)
    state = lab.parts.state()
    shown = [cast.cast for cast in state.casts]
    every = [cast["cast"] for cast in lab.operator("GET", "/casts")]
    assert len(shown) == MOST_SHOWN + 1
    assert {first.id, waiting.id} <= set(shown)
    assert shown == [cast for cast in every if cast in shown], "the newest first"
    assert len(every) == MOST_SHOWN + 6
    assert latest_result(state) == next(c for c in state.casts if c.cast == first.id)
    assert state.cast_counts == {"gathering": 1, "cancelled": MOST_SHOWN + 5}
    assert f'state="cancelled"}} {MOST_SHOWN + 5}.0' in render(state).decode()
    assert f"{MOST_SHOWN + 5 - MOST_ENDED} older ones are not shown here." in lab.http.get("/").text

"""The loop with a world made of lists: what it does, shows and tells, event by event."""

from __future__ import annotations

import pytest
from castclient import retry
from castclient.happening import Happening, Post, leaving_kind
from castclient.journal import MOST_LENGTH, MOST_LINES, RECENT_LINES, Journal
from castclient.model import CastNow, Model
from castclient.phases import Action, Event, Phase
from castclient.program import Client, Facts
from castcore.control import AfterCast, ClientState, Machine, Order, OrderKind, Report
from castcore.edge.cast.discovery import FoundServer
from castcore.errors import DiskFailed, NoSpace, NotFound

SERVER = FoundServer("https://192.0.2.1:8443", bytes(32), bytes(32), "shop", "eth0")
OTHER = FoundServer("https://192.0.2.2:8443", bytes([1]) * 32, bytes(32), "annex", "eth0")
ORDER = Order(1, OrderKind.CAST, "c1")
ROOT = "ab" * 32
DONE = CastNow("c1", ClientState.DONE, done=10, total=10, multicast=10, root=ROOT)


class FakeWorld:
    """Answers each action at once with the happenings it was given."""

    def __init__(self, answers: dict[Action, list[Happening]]) -> None:
        self.answers = answers
        self.performed: list[tuple[Action, Order | None]] = []
        self.told: list[Report] = []

    def facts(self) -> Facts:
        return Facts(Machine(""), ())

    def tell(self, report: Report) -> None:
        self.told.append(report)

    def perform(self, action: Action, happening: Happening, order: Order | None, post: Post) -> None:
        assert isinstance(happening.event, Event)
        self.performed.append((action, order))
        for answer in self.answers.pop(action, []):
            post(answer)


def client(world: FakeWorld, shown: list[Model] | None = None) -> Client:
    seen = shown if shown is not None else []
    shows = [lambda model, _up: seen.append(model)]
    return Client("0.1", world, Journal(), shows, retry.backing_off)


def ready(world: FakeWorld) -> Client:
    subject = client(world)
    for happening in (
        Happening(Event.STARTED),
        Happening(Event.FOUND, servers=(SERVER,)),
        Happening(Event.REGISTERED, client="m1"),
    ):
        subject.handle(happening)
    return subject


def test_a_whole_run_from_start_to_leaving() -> None:
    world = FakeWorld(
        {
            Action.SEARCH: [Happening(Event.FOUND, servers=(SERVER,))],
            Action.REGISTER: [Happening(Event.REGISTERED, client="m1")],
            Action.LISTEN: [Happening(Event.ORDER_CAST, order=ORDER)],
            Action.CAST: [Happening(Event.CAST_DONE, now=DONE)],
            Action.TELL: [Happening(Event.TOLD)],
        }
    )
    shown: list[Model] = []
    model = client(world, shown).run(until=lambda m: m.phase is Phase.LEAVING)
    assert [action for action, _ in world.performed] == [
        Action.SEARCH,
        Action.REGISTER,
        Action.LISTEN,
        Action.CAST,
        Action.TELL,
        Action.LEAVE,
    ]
    assert world.performed[-1] == (Action.LEAVE, ORDER)
    assert (model.client, model.server_name) == ("m1", "shop")
    assert model.server_words.count("-") == 3
    states = [report.state for report in world.told]
    assert states == [
        ClientState.READY,
        ClientState.PLANNING,
        ClientState.DONE,
        ClientState.REBOOTING,
    ]
    assert world.told[2].root == ROOT
    assert shown, "the screen was drawn"


def test_a_failure_is_told_with_its_reason_and_the_journal() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.CAST_FAILED, text="/dev/vda is too small"))
    report = world.told[-1]
    assert (report.state, report.cast, report.message) == (
        ClientState.FAILED,
        "c1",
        "/dev/vda is too small",
    )
    assert any("order: cast" in line for line in report.logs)


def test_an_order_during_a_write_changes_nothing() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    halfway = CastNow("c1", ClientState.RECEIVING, done=5, total=10)
    subject.handle(Happening(Event.PROGRESS, now=halfway))
    before = len(world.performed)
    reboot = Order(2, OrderKind.REBOOT)
    subject.handle(Happening(Event.ORDER_LEAVE, order=reboot))
    subject.handle(Happening(Event.ORDER_CAST, order=Order(3, OrderKind.CAST, "c1")))
    assert len(world.performed) == before
    assert subject.model.cast == halfway
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    assert world.performed[-1] == (Action.TELL, ORDER), "its own order counts, not the later one"


def test_a_cast_done_before_is_told_again_and_not_written_again() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    again = Order(2, OrderKind.CAST, "c1")
    subject.handle(Happening(Event.ORDER_CAST, order=again))
    assert [action for action, _ in world.performed].count(Action.CAST) == 1
    assert world.performed[-1] == (Action.TELL, again)
    subject.handle(Happening(Event.ORDER_CAST, order=Order(3, OrderKind.CAST, "c2")))
    assert [action for action, _ in world.performed].count(Action.CAST) == 2
    assert subject.model.cast == CastNow("c2", ClientState.PLANNING)


def test_a_cast_whose_server_goes_continues_and_says_so() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.LOST, text="no answer"))
    assert subject.model.phase is Phase.CASTING
    assert subject.model.link_lost
    subject.handle(Happening(Event.REGISTERED, client="m1"))
    assert not subject.model.link_lost


def test_two_servers_wait_for_a_person() -> None:
    world = FakeWorld({})
    subject = client(world)
    subject.handle(Happening(Event.STARTED))
    subject.handle(Happening(Event.FOUND_SEVERAL, servers=(OTHER, SERVER)))
    assert [choice.split()[0] for choice in subject.model.choices] == ["annex", "shop"]
    subject.handle(Happening(Event.CHOSEN, servers=(SERVER,)))
    assert [action for action, _ in world.performed] == [Action.SEARCH, Action.ASK, Action.REGISTER]
    assert (subject.model.server_url, subject.model.choices) == (SERVER.url, ())


def test_how_an_order_ends() -> None:
    assert leaving_kind(ORDER) is OrderKind.REBOOT
    assert leaving_kind(Order(1, OrderKind.CAST, "c", AfterCast.POWER_OFF)) is OrderKind.POWER_OFF
    assert leaving_kind(Order(1, OrderKind.CAST, "c", AfterCast.STAY)) is None
    assert leaving_kind(Order(1, OrderKind.POWER_OFF)) is OrderKind.POWER_OFF


def test_the_journal_keeps_the_last_lines_short() -> None:
    journal = Journal()
    for number in range(MOST_LINES + 5):
        journal.add(f"line\n{number} " + "x" * 500)
    lines = journal.lines()
    assert len(lines) == MOST_LINES
    assert "line 5 " in lines[0]
    assert max(map(len, lines)) == MOST_LENGTH
    assert journal.recent() == lines[-RECENT_LINES:]


def test_what_a_cast_failed_of_is_kept_until_the_next_one() -> None:
    subject, error = ready(FakeWorld({})), NoSpace("the disk is full")
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.CAST_FAILED, text=error.what, error=error))
    assert (subject.model.problem, subject.model.failure) == ("the disk is full", error)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    assert (subject.model.problem, subject.model.failure) == ("", None)


def failed(subject: Client, text: str, error: DiskFailed | NotFound | NoSpace) -> None:
    subject.handle(Happening(Event.CAST_FAILED, text=text, error=error))


def test_a_failure_that_can_be_mended_is_tried_again_when_it_is_due() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    for tries, pause in enumerate(retry.PAUSES, 1):
        failed(subject, "the disk missed a beat", DiskFailed("x"))
        assert world.told[-1].retry > 0
        assert "tries again by itself" in world.told[-1].message
        due = subject.model.retry_at
        subject.pass_time(due - 0.1)
        waiting = subject.model
        assert waiting.phase is Phase.FAILED
        assert (waiting.attempt, waiting.retry_in) == (tries, 1)
        subject.pass_time(due)
        going = subject.model
        assert going.phase is Phase.CASTING
        assert world.performed[-1] == (Action.CAST, ORDER)
        assert pause == retry.backing_off(DiskFailed("x"), tries)
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    assert (subject.model.problem, subject.model.attempt) == ("", 0)


def test_what_cannot_be_mended_stays_and_an_order_begins_anew() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    failed(subject, "the disk is full", NoSpace("x"))
    assert (subject.model.retry_at, world.told[-1].retry) == (0.0, 0)
    subject.pass_time(1e9)
    assert subject.model.phase is Phase.FAILED


def test_that_a_cast_is_over_does_not_hide_why_it_failed() -> None:
    subject = ready(FakeWorld({}))
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    failed(subject, "the disk missed a beat", DiskFailed("x"))
    subject.pass_time(subject.model.retry_at)
    failed(subject, "the cast is cancelled", NotFound("x"))
    assert subject.model.problem == "the disk missed a beat (the cast is cancelled)"
    assert subject.model.retry_at == 0


def test_another_order_takes_the_place_of_the_next_try() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    failed(subject, "the disk missed a beat", DiskFailed("x"))
    due = subject.model.retry_at
    other = Order(2, OrderKind.CAST, "c2")
    subject.handle(Happening(Event.ORDER_CAST, order=other))
    before = len(world.performed)
    subject.pass_time(due + 1)
    assert len(world.performed) == before
    assert (subject.model.attempt, subject.model.problem) == (0, "")


def test_a_screen_that_fails_ends_no_write() -> None:
    drawn: list[Model] = []

    def broken(_model: Model, _now: float) -> None:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    def good(model: Model, _now: float) -> None:
        drawn.append(model)

    journal = Journal()
    subject = Client("1.0", FakeWorld({}), journal, [broken, good], tells=[broken])
    for now in (10.0, 20.0, 30.0):
        subject.pass_time(now)
    assert len(drawn) == 3
    warned = [line for line in journal.lines() if "a screen is given up" in line]
    assert len(warned) == 2, "each of them once"


def test_shutting_down_during_a_write_is_asked_and_answered() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.SURE_OFF))
    assert subject.model.phase is Phase.CASTING, "nothing was asked"
    subject.handle(Happening(Event.ASKED_OFF))
    assert "Enter" in subject.model.question
    subject.handle(Happening(Event.STAY_ON))
    assert (subject.model.phase, subject.model.question) == (Phase.CASTING, "")
    subject.handle(Happening(Event.ASKED_OFF))
    subject.pass_time(subject.model.question_until + 1)
    subject.handle(Happening(Event.SURE_OFF))
    assert subject.model.phase is Phase.CASTING, "the question was withdrawn"
    subject.handle(Happening(Event.ASKED_OFF))
    subject.handle(Happening(Event.SURE_OFF))
    assert (subject.model.phase, subject.model.off) == (Phase.LEAVING, True)
    assert world.performed[-1][0] is Action.LEAVE


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (CastNow("c1", ClientState.RECEIVING), "the disk is as it was"),
        (CastNow("c1", ClientState.RECEIVING, writing=True), "it stays incomplete"),
        (CastNow("u1", ClientState.CAPTURING), "without the image"),
    ],
)
def test_the_question_says_what_shutting_down_costs(now: CastNow, said: str) -> None:
    subject = ready(FakeWorld({}))
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.PROGRESS, now=now))
    subject.handle(Happening(Event.ASKED_OFF))
    assert said in subject.model.question


def test_a_question_that_was_asked_before_data_came_is_corrected() -> None:
    subject = ready(FakeWorld({}))
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.ASKED_OFF))
    assert "the disk is as it was" in subject.model.question
    until = subject.model.question_until
    now = CastNow("c1", ClientState.RECEIVING, writing=True)
    subject.handle(Happening(Event.PROGRESS, now=now))
    assert "it stays incomplete" in subject.model.question
    assert subject.model.question_until == until
    subject.handle(Happening(Event.STAY_ON))
    subject.handle(Happening(Event.PROGRESS, now=now))
    assert subject.model.question == "", "an answered one is not asked again"


def test_a_question_ends_with_the_write_it_was_about() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.ASKED_OFF))
    subject.handle(Happening(Event.CAST_DONE, now=DONE))
    assert subject.model.question == ""
    subject.handle(Happening(Event.SURE_OFF))
    assert subject.model.phase is Phase.DONE


def test_a_waiting_machine_is_shut_down_at_once() -> None:
    world = FakeWorld({})
    subject = ready(world)
    subject.handle(Happening(Event.ASKED_OFF))
    assert (subject.model.phase, subject.model.off) == (Phase.LEAVING, True)
    assert world.performed[-1][0] is Action.LEAVE


def test_notices_are_shown_for_a_while() -> None:
    subject = ready(FakeWorld({}))
    subject.handle(Happening(Event.NOTICE, text="done"))
    assert subject.model.notice == "done"
    subject.pass_time(subject.model.notice_until + 1)
    assert subject.model.notice == ""


def test_every_state_is_told_however_short_it_lasts() -> None:
    told: list[str] = []
    answers = {
        Action.SEARCH: [Happening(Event.FOUND, servers=(SERVER,))],
        Action.REGISTER: [Happening(Event.REGISTERED, client="m1")],
    }
    tells = [lambda model, _now: told.append(model.state)]
    subject = Client("0.1", FakeWorld(answers), Journal(), [], tells=tells)
    subject.run(until=lambda model: model.phase is Phase.READY)
    assert list(dict.fromkeys(told)) == ["searching", "registering", "ready"]


def test_the_screen_is_drawn_four_times_a_second_at_most() -> None:
    shown: list[Model] = []
    subject = client(FakeWorld({}), shown)
    for step in range(1000):
        subject.handle(Happening(Event.NOTICE, text=str(step)))
        subject._urgent = True
        subject.pass_time(1000 + step / 100)
    assert 30 <= len(shown) <= 41

"""The loop with a world made of lists: what it does, shows and tells, event by event."""

from __future__ import annotations

from castclient.journal import MOST_LENGTH, MOST_LINES, Journal
from castclient.model import CastNow, Model
from castclient.phases import Action, Event, Phase
from castclient.program import Client, Facts, Happening, Post, leaving_kind
from castcore.control import AfterCast, ClientState, Machine, Order, OrderKind, Report
from castcore.edge.cast.discovery import FoundServer
from castcore.errors import NoSpace

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
    return Client("0.1", world, Journal(), [lambda model, _up: seen.append(model)])


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


def test_what_a_cast_failed_of_is_kept_until_the_next_one() -> None:
    subject, error = ready(FakeWorld({})), NoSpace("the disk is full")
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    subject.handle(Happening(Event.CAST_FAILED, text=error.what, error=error))
    assert (subject.model.problem, subject.model.failure) == ("the disk is full", error)
    subject.handle(Happening(Event.ORDER_CAST, order=ORDER))
    assert (subject.model.problem, subject.model.failure) == ("", None)

"""The local dialogue from page to page: what is offered, refused, confirmed; no key stops work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from castclient.local import dialogue
from castclient.local.dialogue import answered, begun, failed, finished, looked, progressed
from castclient.local.facts import (
    Here,
    LicenceCount,
    MediumNow,
    ServerHere,
    StoredHere,
    Surveyed,
    WorkNow,
)
from castclient.local.page import Page
from castclient.local.pages import page_of
from castclient.local.state import (
    Capture,
    Join,
    Leave,
    Look,
    Restore,
    Search,
    State,
    Survey,
    Task,
    Where,
)
from castcore.control import Machine, OrderKind
from castcore.disk import DiskFacts, DiskLayout, Extent, Partition, TableType
from castcore.image import ImageDisk, Manifest, Source
from castcore.units import GIB, MIB

LAYOUT = DiskLayout(
    4 * GIB, 512, TableType.GPT, "", (Partition(1, MIB, GIB, fstype="ext4", label="root"),)
)
IN_USE = (Extent(0, MIB), Extent(MIB, 300 * MIB))
BUILT_IN = DiskFacts("/dev/vda", "serial-A", 8 * GIB, 512, layout=LAYOUT, model="Fast", bus="nvme")
SECOND = replace(BUILT_IN, path="/dev/vdb", stable_id="serial-B")
SMALL = replace(BUILT_IN, path="/dev/vdc", stable_id="serial-C", size=100 * MIB)
STICK = replace(BUILT_IN, path="/dev/sdb", stable_id="serial-S", removable=True, bus="usb")
MEDIUM_DISK = replace(STICK, path="/dev/sda", stable_id="serial-M", removable=False)


def image(name: str, disks: int = 1) -> StoredHere:
    disk = ImageDisk(LAYOUT, IN_USE)
    source = Source(path="/dev/sda", format="device")
    return StoredHere(
        name,
        Manifest(
            name=name,
            created=1_700_000_000,
            disks=(disk,) * disks,
            index_digest=bytes(32),
            chunk_count=1,
            packs=(),
            source=source,
            made_by="a test",
        ),
    )


MEDIUM = MediumNow(
    "/dev/sda",
    "Room 12",
    64 * GIB,
    10 * GIB,
    images=(image("office"), image("pair", 2), StoredHere("broken", None, "its index is cut")),
)
MACHINE = Machine(
    uuid="",
    vendor="Lab",
    product="Virtual PC",
    serial="PC/01",
    board_serial="",
    firmware="uefi",
    secure_boot=False,
    memory=GIB,
    cpus=1,
)
HERE = Here(MACHINE, (MEDIUM_DISK, BUILT_IN, SECOND, SMALL, STICK), MEDIUM, day="2026-11-27")
HOME = State(HERE)


def talk(state: State, *lines: str) -> tuple[State, Task | None]:
    """Type ``lines`` one after the other; no task may begin before the last."""
    task: Task | None = None
    for line in lines:
        assert task is None, f"{task} began before {line!r}"
        state, task = answered(state, line)
    return state, task


def words(state: State) -> list[str]:
    return [choice.word for choice in page_of(state).choices]


def text(page: Page) -> str:
    return "\n".join(page.body)


def test_it_looks_at_the_machine_first_and_then_offers_what_can_be_done() -> None:
    state, task = begun(Here(MACHINE))
    assert (state.where, task) == (Where.WORKING, Look())
    home = looked(state, HERE)
    assert words(home)[:4] == ["restore", "capture", "upload", "disks"]
    assert "Room 12" in text(page_of(home))


def test_without_a_medium_only_the_network_and_the_disks_are_offered() -> None:
    here = replace(HERE, medium=None, problem="no deploy medium is connected")
    assert words(State(here)) == ["upload", "disks", "look", "join", "reboot", "off"]
    assert "no deploy medium is connected" in text(page_of(State(here)))


def test_a_restore_goes_from_image_to_disk_to_plan_to_yes() -> None:
    state, task = talk(HOME, "restore", "office", "serial-A")
    assert (state.where, task) == (Where.ERASE, None)
    shown = text(page_of(state))
    for part in ("WILL BE ERASED", "serial-A", '"root"', "plan:", "read 301.0 MiB back"):
        assert part in shown
    state, task = answered(state, "yes")
    assert isinstance(task, Restore)
    assert (task.image, task.plan.targets) == ("office", (BUILT_IN,))
    assert state.where is Where.WORKING


def test_numbers_do_as_well_as_words() -> None:
    images = page_of(talk(HOME, "1")[0]).choices
    by_number = talk(HOME, "1", "1", "2")[0]
    assert images[0].word == "office"
    assert by_number.targets == (BUILT_IN,)


@pytest.mark.parametrize("typed", ["y", "YES", "yes!", "no", "back", "ja"])
def test_anything_but_the_whole_word_erases_nothing(typed: str) -> None:
    planned, _ = talk(HOME, "restore", "office", "serial-A")
    state, task = answered(planned, typed)
    assert (state.where, task) == (Where.HOME, None)


def test_enter_alone_leafs_through_the_plan_and_confirms_nothing() -> None:
    planned, _ = talk(HOME, "restore", "office", "serial-A")
    assert answered(planned, "") == (planned, None)


@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        ("serial-M", "is the deploy medium"),
        ("serial-S", "is removable"),
        ("serial-C", "is too small"),
    ],
)
def test_a_disk_that_cannot_be_the_target_is_shown_with_the_reason_and_refused(
    disk: str, reason: str
) -> None:
    choosing, _ = talk(HOME, "restore", "office")
    assert any(c.word == disk and reason in c.text for c in page_of(choosing).choices)
    state, task = answered(choosing, disk)
    assert (state.where, task) == (Where.TARGETS, None)
    assert reason in state.problem


def test_an_image_of_two_disks_asks_for_each_and_never_for_one_twice() -> None:
    state, _ = talk(HOME, "restore", "pair", "serial-A")
    assert state.where is Where.TARGETS
    assert "disk 2 of 2" in page_of(state).headline
    twice, task = answered(state, "serial-A")
    assert (twice.where, twice.targets, task) == (Where.TARGETS, (), None)
    assert "is named for disk 0" in twice.problem
    assert answered(state, "serial-B")[0].where is Where.ERASE


def test_a_damaged_image_is_listed_with_the_reason_and_not_restored() -> None:
    choosing, _ = talk(HOME, "restore")
    assert any("its index is cut" in c.text for c in page_of(choosing).choices)
    state, task = answered(choosing, "broken")
    assert (state.where, task) == (Where.IMAGES, None)
    assert "its index is cut" in state.problem


def test_a_capture_is_named_after_the_machine_and_shown_before_it_begins() -> None:
    state, _ = talk(HOME, "capture", "serial-A")
    assert state.name == "Virtual-PC-PC-01-2026-11-27"
    state, task = answered(state, "")
    assert task == Survey((BUILT_IN,))
    state = dialogue.surveyed(state, Surveyed((LAYOUT,), 12 * GIB))
    assert "WARNING: 10.0 GiB are free" in text(page_of(state))
    state, task = answered(state, "yes")
    assert task == Capture((BUILT_IN,), "Virtual-PC-PC-01-2026-11-27")


def test_a_name_that_is_taken_gets_a_number_and_one_that_is_none_is_refused() -> None:
    taken = image("Virtual-PC-PC-01-2026-11-27")
    here = replace(HERE, medium=replace(MEDIUM, images=(taken,)))
    state, _ = talk(State(here), "capture", "serial-A")
    assert state.name == "Virtual-PC-PC-01-2026-11-27-2"
    for name, reason in ((taken.name, "already"), ("a/b", "no name for an image")):
        refused, task = answered(state, name)
        assert (refused.where, task) == (Where.NAME, None)
        assert reason in refused.problem


def test_all_built_in_disks_go_into_one_image() -> None:
    state, _ = talk(HOME, "capture", "all")
    assert state.sources == (BUILT_IN, SECOND, SMALL)
    assert "serial-M" not in words(talk(HOME, "capture")[0]), "the medium cannot be captured to itself"


def test_a_disk_in_use_is_not_captured() -> None:
    here = replace(HERE, disks=(replace(BUILT_IN, held_by="mounted at /mnt"),))
    state, task = talk(State(here), "capture", "serial-A")
    assert (state.where, task) == (Where.SOURCES, None)
    assert "mounted at /mnt" in state.problem


def test_a_capture_to_a_server_follows_the_only_one_or_asks_which() -> None:
    state, task = talk(HOME, "upload")
    assert (state.where, task) == (Where.WORKING, Search())
    one = ServerHere(0, "shop", "https://192.0.2.1:8443", "acid-barn-cake-deer")
    found = dialogue.searched(state, (one,))
    assert found.where is Where.SOURCES
    assert "acid-barn-cake-deer" in text(page_of(found))
    several = dialogue.searched(state, (one, ServerHere(1, "annex", "https://192.0.2.2:8443", "x")))
    chosen, _ = talk(several, "annex")
    assert chosen.server is not None
    assert chosen.server.number == 1
    named, task = talk(chosen, "serial-A", "mine")
    ready = dialogue.surveyed(named, Surveyed((LAYOUT,), GIB))
    assert answered(ready, "yes")[1] == Capture((BUILT_IN,), "mine", chosen.server)


@pytest.mark.parametrize("typed", ["", "back", "yes", "1", "off", "reboot", "\x03"])
def test_nothing_that_is_typed_stops_work(typed: str) -> None:
    state, _ = talk(HOME, "restore", "office", "serial-A", "yes")
    state = progressed(state, WorkNow("restore", 1, 10))
    assert answered(state, typed) == (state, None)


def test_progress_and_ends_come_where_they_belong() -> None:
    state, _ = talk(HOME, "restore", "office", "serial-A", "yes")
    state = progressed(state, WorkNow("restore", 512, 1024, rate=128, eta=4))
    shown = text(page_of(state))
    assert "50%" in shown
    assert "0:04 left" in shown
    done = finished(state, ("office: written",))
    assert page_of(done).name == "done"
    assert progressed(done, WorkNow("late")) == done
    broken = failed(state, "the medium is gone")
    assert "the medium is gone" in text(page_of(broken))
    assert "the medium is gone" in text(page_of(answered(broken, "nonsense")[0]))
    assert answered(broken, "menu")[1] == Look()


def test_what_fails_before_anything_is_written_leads_back_to_the_menu() -> None:
    state, _ = talk(HOME, "upload")
    home = failed(state, "no server was found")
    assert home.where is Where.HOME
    assert "no server was found" in text(page_of(home))


def test_leaving_and_joining() -> None:
    assert talk(HOME, "join")[1] == Join()
    assert talk(HOME, "reboot")[1] == Leave(OrderKind.REBOOT)
    assert talk(finished(HOME, ("x",)), "off")[1] == Leave(OrderKind.POWER_OFF)


def test_back_is_the_menu_from_everywhere_and_nothing_at_home() -> None:
    for path in (["restore"], ["restore", "office"], ["capture"], ["capture", "serial-A"], ["disks"]):
        assert talk(HOME, *path, "back")[0].where is Where.HOME
    assert "no 'back'" in talk(HOME, "back")[0].problem


def test_licences_are_shown_and_their_use_is_told_before_yes() -> None:
    here = replace(HERE, medium=replace(MEDIUM, licences=(LicenceCount("office*", 3),)))
    assert "licence for office*: 3 left" in text(page_of(State(here)))
    assert "One licence" in text(page_of(talk(State(here), "restore", "office", "serial-A")[0]))


def test_the_disk_viewer_names_every_disk_and_what_is_on_it() -> None:
    shown = text(page_of(talk(HOME, "disks")[0]))
    for part in ("serial-M", "[the medium]", "serial-S", "[removable]", 'ext4 "root"', "8.0 GiB"):
        assert part in shown

"""The dialogue as a state machine: a typed line, or what a task came to, leads to the next state. Pure.

While a task works nothing that is typed changes anything: no key stops a write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from castcore.control import OrderKind
from castcore.disk import DiskFacts, Fit, Wishes, plan_restore, refusal
from castcore.disk.objections import FirmwareFacts, objections
from castcore.errors import FleetcastError
from castcore.image import Manifest

from castclient.local import choices, describe
from castclient.local.editor import BACK
from castclient.local.facts import Here, ServerHere, StoredHere, Surveyed, WorkNow
from castclient.local.naming import default_name, is_name
from castclient.local.page import picked
from castclient.local.state import (
    Capture,
    Goal,
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

Step = tuple[State, Task | None]
YES = "yes"
# Before anything is erased the image is proven; afterwards the disk is read back.
_WISHES = Wishes(check=True, verify=True, convert=True)


def begun(here: Here) -> Step:
    """The first state, and the look at the machine that comes first of all."""
    return _working(State(here), "look"), Look()


def answered(state: State, typed: str, firmware: FirmwareFacts | None = None) -> Step:
    """Where the line ``typed`` leads; ``firmware`` is this machine's, None where nothing boots."""
    if state.where is Where.WORKING:
        return state, None
    text = typed.strip()
    if text.lower() == BACK and state.where is not Where.HOME:
        return _home(state), None
    if not text and state.where is not Where.NAME:
        return replace(state, problem=""), None
    state = replace(state, problem="")
    if state.where is Where.ERASE:
        return _erase(state, text)
    return _ANSWERS[state.where](state, text, firmware)


def looked(state: State, here: Here) -> State:
    """The machine was looked at: home, with what there is now."""
    return _home(replace(state, here=here))


def searched(state: State, servers: tuple[ServerHere, ...]) -> State:
    """Servers were found: one is followed, of several one is chosen."""
    if len(servers) == 1:
        return replace(state, where=Where.SOURCES, server=servers[0], servers=servers, work=None)
    return replace(state, where=Where.SERVERS, servers=servers, work=None)


def surveyed(state: State, found: Surveyed) -> State:
    """It is known what a capture takes: shown before it begins."""
    return replace(state, where=Where.CAPTURE, surveyed=found, work=None)


def progressed(state: State, now: WorkNow) -> State:
    """A task came further."""
    return replace(state, work=now) if state.where is Where.WORKING else state


def finished(state: State, result: tuple[str, ...]) -> State:
    """A capture or restore is done."""
    return replace(state, where=Where.DONE, result=result, work=None)


def failed(state: State, text: str) -> State:
    """A task failed: a long one is told on a page of its own, others beside the menu."""
    if state.work is not None and state.work.step in ("look", "search", "survey"):
        return replace(_home(state), problem=text)
    return replace(state, where=Where.FAILED, result=(text,), work=None)


def refused(state: State, text: str) -> State:
    """The machine will not do it: where it was, with the reason."""
    return replace(state, problem=text)


def _home(state: State) -> State:
    return State(state.here)


def _working(state: State, step: str) -> State:
    return replace(state, where=Where.WORKING, work=WorkNow(step))


def _at_home(state: State, text: str, _: FirmwareFacts | None) -> Step:
    choice = picked(choices.home(state), text)
    match choice.word if choice is not None else "":
        case "restore":
            return replace(state, where=Where.IMAGES, goal=Goal.RESTORE), None
        case "capture":
            return replace(state, where=Where.SOURCES, goal=Goal.TO_MEDIUM), None
        case "upload":
            return _working(replace(state, goal=Goal.TO_SERVER), "search"), Search()
        case "disks":
            return replace(state, where=Where.DISKS), None
        case "look":
            return _working(state, "look"), Look()
        case "join":
            return state, Join()
        case word:
            return _leaving(state, word, text)


def _leaving(state: State, word: str, text: str) -> Step:
    kinds = {"reboot": OrderKind.REBOOT, "off": OrderKind.POWER_OFF}
    if word in kinds:
        return state, Leave(kinds[word])
    return _not_offered(state, text), None


def _at_disks(state: State, text: str, _: FirmwareFacts | None) -> Step:
    return (_home(state) if picked(choices.only_back(state), text) else _not_offered(state, text)), None


def _at_images(state: State, text: str, _: FirmwareFacts | None) -> Step:
    choice = picked(choices.images(state), text)
    medium = state.here.medium
    if choice is None or medium is None:
        return _not_offered(state, text), None
    if choice.word == BACK:
        return _home(state), None
    stored = next(one for one in medium.images if one.name == choice.word)
    if stored.manifest is None:
        return replace(state, problem=f"{stored.name} cannot be used: {stored.problem}"), None
    return replace(state, where=Where.TARGETS, image=stored, targets=()), None


def _at_targets(state: State, text: str, firmware: FirmwareFacts | None) -> Step:
    choice = picked(choices.targets(state), text)
    if choice is None or state.image is None or state.image.manifest is None:
        return _not_offered(state, text), None
    if choice.word == BACK:
        return _home(state), None
    disk = _disk(state, choice.word)
    verdict = describe.fit_of(state.image.manifest, len(state.targets), disk, state.here)
    if not verdict.ok:
        return replace(state, problem=refusal(state.image.name, verdict).what), None
    chosen = replace(state, targets=(*state.targets, disk))
    if len(chosen.targets) < len(state.image.manifest.disks):
        return chosen, None
    return _planned(chosen, state.image, state.image.manifest, firmware), None


def _planned(
    state: State, stored: StoredHere, manifest: Manifest, firmware: FirmwareFacts | None
) -> State:
    plan = plan_restore(stored.name, manifest.disks, state.targets, _WISHES)
    if isinstance(plan, Fit):
        return replace(state, targets=(), problem=refusal(stored.name, plan).what)
    layouts = [disk.layout for disk in manifest.disks]
    warnings = objections(layouts, manifest.boot_entries, manifest.boot_loaders, firmware)
    return replace(state, where=Where.ERASE, plan=plan, warnings=warnings)


def _erase(state: State, text: str) -> Step:
    if text != YES or state.plan is None or state.image is None:
        return replace(_home(state), problem="not confirmed; nothing was written"), None
    return _working(state, "check"), Restore(state.image.name, state.plan)


def _at_servers(state: State, text: str, _: FirmwareFacts | None) -> Step:
    choice = picked(choices.servers(state), text)
    if choice is None:
        return _not_offered(state, text), None
    if choice.word == BACK:
        return _home(state), None
    server = next(one for one in state.servers if one.name == choice.word)
    return replace(state, where=Where.SOURCES, server=server), None


def _at_sources(state: State, text: str, _: FirmwareFacts | None) -> Step:
    choice = picked(choices.sources(state), text)
    if choice is None:
        return _not_offered(state, text), None
    if choice.word == BACK:
        return _home(state), None
    disks = choices.all_sources(state) if choice.word == choices.ALL else (_disk(state, choice.word),)
    held = next((disk for disk in disks if disk.held_by), None)
    if held is not None:
        return replace(state, problem=f"{held.path} is in use: {held.held_by}"), None
    return replace(state, where=Where.NAME, sources=disks, name=proposed_name(state)), None


def proposed_name(state: State) -> str:
    """The name that Enter alone gives a capture."""
    medium = state.here.medium
    taken = {one.name for one in medium.images} if medium is not None else set()
    used = taken if state.goal is Goal.TO_MEDIUM else set()
    return default_name(state.here.machine, state.here.day, used)


def _at_name(state: State, text: str, _: FirmwareFacts | None) -> Step:
    name = text or state.name
    medium = state.here.medium
    if not is_name(name):
        return replace(
            state, problem=f"{name!r} is no name for an image: letters, digits, '.', '_' and '-'"
        ), None
    to_medium = state.goal is Goal.TO_MEDIUM and medium is not None
    if to_medium and medium is not None and any(one.name == name for one in medium.images):
        return replace(state, problem=f"the medium has an image {name} already"), None
    return _working(replace(state, name=name), "survey"), Survey(state.sources)


def _at_capture(state: State, text: str, _: FirmwareFacts | None) -> Step:
    if text != YES:
        return replace(_home(state), problem="not confirmed; nothing was captured"), None
    return _working(state, "capture"), Capture(state.sources, state.name, state.server)


def _at_end(state: State, text: str, _: FirmwareFacts | None) -> Step:
    choice = picked(choices.end(state), text)
    word = choice.word if choice is not None else ""
    if word == "menu":
        return _working(State(state.here), "look"), Look()
    return _leaving(state, word, text)


def _disk(state: State, stable_id: str) -> DiskFacts:
    return next(disk for disk in state.here.disks if disk.stable_id == stable_id)


def _not_offered(state: State, text: str) -> State:
    return replace(state, problem=f"there is no {text!r} to choose here")


_ANSWERS: dict[Where, Callable[[State, str, FirmwareFacts | None], Step]] = {
    Where.HOME: _at_home,
    Where.DISKS: _at_disks,
    Where.IMAGES: _at_images,
    Where.TARGETS: _at_targets,
    Where.SERVERS: _at_servers,
    Where.SOURCES: _at_sources,
    Where.NAME: _at_name,
    Where.CAPTURE: _at_capture,
    Where.DONE: _at_end,
    Where.FAILED: _at_end,
}


def sentence(error: FleetcastError) -> str:
    """An error as one sentence with what to do."""
    return f"{error.what} ({error.hint})" if error.hint else error.what

"""The page of each state of the dialogue. Pure."""

from __future__ import annotations

from collections.abc import Callable

from castcore.disk import plan_lines
from castcore.units import human

from castclient.local import choices, describe
from castclient.local.page import Page
from castclient.local.state import Goal, State, Where
from castclient.screen import Tone

_YES = "Type yes, the whole word, then Enter."


def page_of(state: State) -> Page:
    """What is shown and asked in ``state``."""
    return _PAGES[state.where](state)


def _home(state: State) -> Page:
    here = state.here
    return Page(
        Where.HOME,
        "Capture or restore this machine",
        lines=(describe.machine_line(here), *describe.medium_lines(here), *_disks_short(state)),
        choices=choices.home(state),
        problem=state.problem,
    )


def _disks_short(state: State) -> list[str]:
    medium = state.here.medium
    return [f"disk      {describe.disk_text(disk, medium=medium)}" for disk in state.here.disks]


def _disks(state: State) -> Page:
    medium = state.here.medium
    lines = [line for disk in state.here.disks for line in describe.disk_lines(disk, medium=medium)]
    shown = tuple(lines) or ("this machine has no disk that we have a driver for",)
    return Page(
        Where.DISKS, "Disks", lines=shown, choices=choices.only_back(state), problem=state.problem
    )


def _images(state: State) -> Page:
    return Page(Where.IMAGES, "Which image?", choices=choices.images(state), problem=state.problem)


def _targets(state: State) -> Page:
    image, manifest = state.image, state.image.manifest if state.image is not None else None
    if image is None or manifest is None:
        return _home(state)
    number, count = len(state.targets), len(manifest.disks)
    disk = manifest.disks[number]
    what = f"disk {number + 1} of {count} of {image.name}" if count > 1 else f"the disk of {image.name}"
    lost = describe.lost_text(manifest)
    return Page(
        Where.TARGETS,
        f"Where does {what} go?",
        lines=(
            f"{human(disk.layout.size)}, with:",
            *describe.layout_lines(disk.layout, taken=True),
            *([f"WARNING: {lost}"] if lost else []),
        ),
        choices=choices.targets(state),
        problem=state.problem,
    )


def _erase(state: State) -> Page:
    plan = state.plan
    assert plan is not None
    lines = [f"image {plan.image}"]
    for target in plan.targets:
        lines += ["WILL BE ERASED:", *describe.disk_lines(target)]
    lines += [*plan_lines(plan), *(f"WARNING: {text}" for text in state.warnings)]
    medium = state.here.medium
    if medium is not None and medium.licences:
        lines.append("One licence of the medium is used once the disk is written and proven.")
    disks = ", ".join(target.path for target in plan.targets)
    return Page(
        Where.ERASE,
        f"Everything on {disks} will be lost",
        tone=Tone.BAD,
        lines=tuple(lines),
        ask=f"{_YES} Anything else: back.",
        fields=(("image", plan.image), ("targets", disks)),
    )


def _servers(state: State) -> Page:
    return Page(
        Where.SERVERS,
        "Which server?",
        lines=("Compare the four words with those that the server shows.",),
        choices=choices.servers(state),
        problem=state.problem,
    )


def _sources(state: State) -> Page:
    return Page(
        Where.SOURCES,
        "What is captured?",
        lines=_destination(state),
        choices=choices.sources(state),
        problem=state.problem,
    )


def _name(state: State) -> Page:
    return Page(
        Where.NAME,
        "What is the image called?",
        lines=(*_destination(state), f"Enter alone: {state.name}"),
        ask="Type a name, or Enter alone.",
        problem=state.problem,
        fields=(("default", state.name),),
    )


def _destination(state: State) -> tuple[str, ...]:
    if state.goal is Goal.TO_SERVER:
        server = state.server
        found = f"{server.name}  {server.url}  {server.code}" if server is not None else "none"
        return (f"to the server {found}",)
    return tuple(describe.medium_lines(state.here)[:1])


def _capture(state: State) -> Page:
    found, medium = state.surveyed, state.here.medium
    assert found is not None
    lines = [f"as {state.name}", *_destination(state)]
    for disk, layout in zip(state.sources, found.layouts, strict=True):
        lines += [f"from {describe.disk_text(disk)}", *describe.layout_lines(layout, taken=True)]
    lines.append(f"{human(found.used)} are read, and compressed.")
    if state.goal is Goal.TO_MEDIUM and medium is not None and found.used > medium.free:
        lines.append(
            f"WARNING: {human(medium.free)} are free on the medium: if it does not compress so far,"
            " the capture ends without an image"
        )
    return Page(
        Where.CAPTURE,
        "Capture this?",
        tone=Tone.CALM,
        lines=tuple(lines),
        ask=f"{_YES} Anything else: back.",
        fields=(("name", state.name), ("used", str(found.used))),
    )


def _working(state: State) -> Page:
    work = state.work
    lines = describe.work_lines(work) if work is not None else []
    return Page(
        Where.WORKING,
        "Working",
        tone=Tone.BUSY,
        lines=tuple(lines),
        ask="No key stops this.",
        large=f"{work.percent}%" if work is not None and work.total else "WORKING",
    )


def _done(state: State) -> Page:
    return _end(state, Where.DONE, "Done", Tone.GOOD)


def _failed(state: State) -> Page:
    return _end(state, Where.FAILED, "Failed", Tone.BAD)


def _end(state: State, where: Where, headline: str, tone: Tone) -> Page:
    return Page(
        where,
        headline,
        tone=tone,
        lines=state.result,
        choices=choices.end(state),
        problem=state.problem,
        fields=(("message", " ".join(state.result)),),
        large=headline.upper(),
    )


_PAGES: dict[Where, Callable[[State], Page]] = {
    Where.HOME: _home,
    Where.DISKS: _disks,
    Where.IMAGES: _images,
    Where.TARGETS: _targets,
    Where.ERASE: _erase,
    Where.SERVERS: _servers,
    Where.SOURCES: _sources,
    Where.NAME: _name,
    Where.CAPTURE: _capture,
    Where.WORKING: _working,
    Where.DONE: _done,
    Where.FAILED: _failed,
}

"""What can be answered on each page of the dialogue. Pure."""

from __future__ import annotations

from castcore.disk import DiskFacts

from castclient.local import describe
from castclient.local.editor import BACK
from castclient.local.page import Choice
from castclient.local.state import Goal, State

ALL = "all"
_BACK = Choice(BACK, "to the menu (or Esc)")


def home(state: State) -> tuple[Choice, ...]:
    """What this machine can do; what needs a medium only where there is one."""
    medium = state.here.medium
    restore = Choice(Goal.RESTORE, "write an image of the medium to this machine's disks")
    capture = Choice(Goal.TO_MEDIUM, "capture this machine's disks to the medium")
    with_medium = (capture,) if medium is not None else ()
    with_images = (restore,) if medium is not None and medium.images else ()
    return (
        *with_images,
        *with_medium,
        Choice(Goal.TO_SERVER, "capture this machine's disks to a server"),
        Choice("disks", "show the disks and what is on them"),
        Choice("look", "look again: another disk or medium was connected"),
        Choice("join", "take part in a cast of a server"),
        Choice("reboot", "restart this machine"),
        Choice("off", "switch it off"),
    )


def only_back(state: State) -> tuple[Choice, ...]:  # noqa: ARG001 - as the others
    """Nothing but the way back."""
    return (_BACK,)


def images(state: State) -> tuple[Choice, ...]:
    """The images of the medium."""
    medium = state.here.medium
    stored = medium.images if medium is not None else ()
    return (*(Choice(one.name, describe.image_text(one)) for one in stored), _BACK)


def targets(state: State) -> tuple[Choice, ...]:
    """The disks, each with whether the image's next disk goes on it."""
    if state.image is None or state.image.manifest is None:
        return (_BACK,)
    manifest, number = state.image.manifest, len(state.targets)
    found = []
    for disk in state.here.disks:
        verdict = describe.fit_of(manifest, number, disk, state.here)
        text = "fits" if verdict.ok else f"NO: {verdict.reasons[0].text}"
        known = describe.disk_text(disk, medium=state.here.medium)
        found.append(Choice(disk.stable_id, f"{known}: {text}"))
    return (*found, _BACK)


def servers(state: State) -> tuple[Choice, ...]:
    """The servers that were found, with the four words of each one's key."""
    return (*(Choice(one.name, f"{one.url}  {one.code}") for one in state.servers), _BACK)


def sources(state: State) -> tuple[Choice, ...]:
    """The disks that can be captured, and all built-in ones at once where there are several."""
    medium = state.here.medium
    several = all_sources(state)
    every = (Choice(ALL, f"the {len(several)} built-in disks as one image"),) if len(several) > 1 else ()
    single = [Choice(d.stable_id, describe.disk_text(d, medium=medium)) for d in state.here.others()]
    return (*single, *every, _BACK)


def all_sources(state: State) -> tuple[DiskFacts, ...]:
    """The built-in disks."""
    return tuple(disk for disk in state.here.others() if not disk.removable)


def end(state: State) -> tuple[Choice, ...]:  # noqa: ARG001 - as the others
    """What to do after all."""
    return (
        Choice("menu", "to the menu"),
        Choice("reboot", "restart this machine"),
        Choice("off", "switch it off"),
    )

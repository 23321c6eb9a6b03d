"""Two network namespaces joined by a cable, for tests that need two machines' worth of network."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castcore.edge import run

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_SECONDS = 20.0


@dataclass(frozen=True)
class Cable:
    """Namespaces ``left`` and ``right``; their ends of the cable are called ``wire``."""

    left: str
    right: str
    wire: str = "wire0"


@contextmanager
def cable(name: str) -> Iterator[Cable]:
    """A cable of this process's own, gone at the end."""
    made = Cable(f"fct-{name}-{os.getpid()}-l", f"fct-{name}-{os.getpid()}-r")
    try:
        for space in (made.left, made.right):
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        peer = ["peer", "name", made.wire, "netns", made.right]
        ip("-n", made.left, "link", "add", made.wire, "type", "veth", *peer)
        yield made
    finally:
        for space in (made.left, made.right):
            with suppress(run.ProgramFailed):
                ip("netns", "delete", space)


def give_addresses(made: Cable, ipv4: str, ipv6: str) -> None:
    """Bring both ends up as ``ipv4``.1 and .2 (/24) and ``ipv6``1 and 2 (/64)."""
    for number, space in ((1, made.left), (2, made.right)):
        ip("-n", space, "addr", "add", f"{ipv4}.{number}/24", "brd", "+", "dev", made.wire)
        ip("-n", space, "addr", "add", f"{ipv6}{number}/64", "dev", made.wire, "nodad")
        ip("-n", space, "link", "set", made.wire, "up")
    connected(made)


def ip(*words: str) -> None:
    """Run ``ip`` with ``words``."""
    run.run(["ip", *words], timeout=_SECONDS)


def connected(made: Cable) -> None:
    """Return when both ends send; they have been brought up."""
    for space in (made.left, made.right):
        carries(space, made.wire)


def carries(space: str, interface: str) -> None:
    """Return when the interface sends: its link is up, and the kernel has noticed.

    That takes up to a second where many links come and go, and what is sent before is lost.
    """
    end = time.monotonic() + _SECONDS
    while True:
        shown = run.run(["ip", "-n", space, "-j", "link", "show", interface], timeout=_SECONDS)
        if json.loads(shown)[0]["operstate"] == "UP":
            return
        assert time.monotonic() < end, f"{interface} has no link"
        time.sleep(0.01)


def inside(space: str, work: Callable[[], Any], *, timeout: float = 60.0) -> Any:
    """What ``work`` returns in a thread that lives in the namespace ``space`` (setns(2) is per thread).

    Threads that ``work`` starts live there too.
    """
    results: list[Any] = []
    errors: list[BaseException] = []

    def body() -> None:
        fd = os.open(Path("/run/netns") / space, os.O_RDONLY)
        try:
            if _LIBC.setns(fd, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            errors.append(error)
        finally:
            os.close(fd)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(timeout)
    assert not thread.is_alive(), "still at work"
    if errors:
        raise errors[0]
    return results[0]

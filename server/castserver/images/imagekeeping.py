"""The library's images, kept: deleted when nobody needs them, checked whole in the background.

A check reads and proves every chunk. One image is checked at a time; what came of it is remembered for
the image's root, over a restart too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from castcore.edge.image.deleting import delete_image, require_image
from castcore.edge.image.store import read_manifest
from castcore.edge.image.verify import verify_image
from castcore.errors import FleetcastError, InUse, NotFound, Refused
from castcore.image import NAME
from castcore.progress import Progress

from castserver.casts.castmodel import Cast
from castserver.casts.casts import Casts
from castserver.casts.policy import CastState
from castserver.database.database import Database
from castserver.database.tables import SettingRow
from castserver.images.library import Library
from castserver.images.shelves import LIBRARY, LIST_SECONDS

KEPT = "image check "
# As much of a root as fits a setting's name.
ROOT_LETTERS = 48
MOST_WAITING = 100
# How often the one who checks looks whether a cast runs.
LOOK_SECONDS = 0.5
# A large image's files take long to free.
DELETE_SECONDS = 120.0
# For a check to notice that it is to end; one that a disk does not answer is left alone.
STOP_SECONDS = 5.0

log = logging.getLogger("fleetcast")


class CheckState(StrEnum):
    """WHOLE: every chunk was proven; DAMAGED: one was not, or could not be read."""

    WAITING = "waiting"
    CHECKING = "being checked"
    WHOLE = "whole"
    DAMAGED = "damaged"

    @property
    def ended(self) -> bool:
        """Whether it is known what came of it."""
        return self in (CheckState.WHOLE, CheckState.DAMAGED)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the image ``image`` with that ``root`` (hex): ``done`` of ``total`` bytes are proven.

    ``when`` it ended, in Unix seconds; ``problem`` says what is damaged.
    """

    image: str
    root: str
    state: CheckState
    when: int = 0
    problem: str = ""
    done: int = 0
    total: int = 0


class _Stopped(Exception):
    """The server stops."""


class ImageKeeper:
    """The images of ``library``; ``changed`` is called when a check has ended."""

    def __init__(
        self, database: Database, library: Library, casts: Casts, changed: Callable[[], None]
    ) -> None:
        self._database, self._library, self._casts, self._changed = database, library, casts, changed
        self._lock = threading.Lock()
        self._stopping, self._look = False, 0.0
        self._worker: threading.Thread | None = None
        self._waiting: list[Check] = []
        self._checks = {
            check.root: check
            for row in database.all(SettingRow)
            if row.name.startswith(KEPT)
            for check in [_remembered(row)]
        }

    def checks(self) -> list[Check]:
        """What is known of every image that was checked, or is to be."""
        with self._lock:
            return list(self._checks.values())

    def delete(self, name: str) -> int:
        """Delete the image ``name`` of the library; return the bytes that are free then.

        Raises NotFound, Refused, DiskFailed, InUse (a cast casts it, others borrow from it, it is being
        checked).
        """
        _require_name(name)
        root = self._library.own.on(name, _root_if_whole, LIST_SECONDS)
        for cast in self._casts.all():
            if not cast.state.ended and _is_of(cast, name, root):
                raise InUse(f"cast {cast.id} casts image {name}", hint="wait for its end, or cancel it")
        with self._lock:
            if any(c.image == name and not c.state.ended for c in self._checks.values()):
                raise InUse(f"image {name} is being checked", hint="wait for the end of that")
        freed = self._library.own.on(name, delete_image, DELETE_SECONDS)
        self._forget(name)
        self._changed()
        return freed

    def check(self, name: str) -> Check:
        """Have the image ``name`` of the library checked, now or after those asked for before.

        It pauses while a cast runs: both read the disk. Raises NotFound, BadImage, DiskFailed, Refused.
        """
        _require_name(name)
        root = self._library.own.on(name, _root, LIST_SECONDS)
        with self._lock:
            known = self._checks.get(root)
            if known is not None and not known.state.ended:
                return known
            if len(self._waiting) >= MOST_WAITING:
                raise Refused("too many images wait to be checked", hint="wait for some of them")
            check = Check(name, root, CheckState.WAITING)
            self._checks[root] = check
            self._waiting.append(check)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="image check", daemon=True)
                self._worker.start()
        self._changed()
        return check

    def stop(self) -> None:
        """Stop checking; what was not ended is as if it had not been asked for."""
        with self._lock:
            self._stopping, worker = True, self._worker
        if worker is not None:
            worker.join(STOP_SECONDS)

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._stopping or not self._waiting:
                    self._worker = None
                    return
                check = self._waiting.pop(0)
            try:
                ended = self._run(check)
            except _Stopped:
                continue
            except Exception:
                log.exception("the check of image %s stumbled", check.image)
                with self._lock:
                    self._checks.pop(check.root, None)
            else:
                self._keep(ended)
            self._changed()

    def _run(self, check: Check) -> Check:
        def progress(now: Progress) -> None:
            self._pause()
            with self._lock:
                self._checks[check.root] = replace(
                    check, state=CheckState.CHECKING, done=now.done, total=now.total
                )

        try:
            with self._library.own.open_to_check(check.image) as image:
                verify_image(image, progress=progress)
        except FleetcastError as error:
            log.warning("image %s: %s", check.image, error.what, extra={"image": check.image})
            return replace(check, state=CheckState.DAMAGED, when=int(time.time()), problem=error.what)
        return replace(check, state=CheckState.WHOLE, when=int(time.time()))

    def _pause(self) -> None:
        """Return when no cast runs. Raises _Stopped."""
        if time.monotonic() >= self._look:
            while not self._stopping and any(c.state is CastState.RUNNING for c in self._casts.all()):
                time.sleep(LOOK_SECONDS)
            self._look = time.monotonic() + LOOK_SECONDS
        if self._stopping:
            raise _Stopped

    def _keep(self, check: Check) -> None:
        value = {"image": check.image, "root": check.root, "when": check.when, "problem": check.problem}
        try:
            self._database.save(SettingRow(name=_key(check), value=value))
        except FleetcastError as error:
            log.error("what came of the check of image %s: %s", check.image, error.what)
        with self._lock:
            self._checks[check.root] = check

    def _forget(self, name: str) -> None:
        with self._lock:
            gone = [check for check in self._checks.values() if check.image == name]
            for check in gone:
                del self._checks[check.root]
        self._database.save(gone=[SettingRow(name=_key(check)) for check in gone])


def _require_name(name: str) -> None:
    # A name from the network: never a path.
    if not NAME.fullmatch(name):
        raise NotFound(f"there is no image {name[:40]!r}", hint="`fleetcast images list` shows all")


def _root(path: Path) -> str:
    require_image(path)
    return read_manifest(path).index_digest.hex()


def _root_if_whole(path: Path) -> str:
    """The root of the image at ``path``; "" of a damaged one, which is deleted too."""
    require_image(path)
    try:
        return read_manifest(path).index_digest.hex()
    except FleetcastError:
        return ""


def _is_of(cast: Cast, name: str, root: str) -> bool:
    """Whether ``cast`` is of the library's image ``name``; its ``root`` may be unknown ("")."""
    where, _, bare = cast.image.rpartition("/")
    return bare == name and where in ("", LIBRARY) and not cast.medium and root in ("", cast.root)


def _key(check: Check) -> str:
    return KEPT + check.root[:ROOT_LETTERS]


def _remembered(row: SettingRow) -> Check:
    value = row.value
    state = CheckState.DAMAGED if value["problem"] else CheckState.WHOLE
    return Check(value["image"], value["root"], state, value["when"], value["problem"])

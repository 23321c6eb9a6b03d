"""Hooks: programs of the medium's maker, run at the client's named moments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from castcore.bootsettings import HOOKS_FOLDER, Moment
from castcore.edge import run
from castcore.errors import FleetcastError

# One that hangs must not hold up the machine for ever.
SECONDS = 60.0
_MOST_LINES = 20
_MOMENT_VARIABLE = "FLEETCAST_MOMENT"


class Hooks:
    """The executables in ``folder``/MOMENT.d; what they print goes to ``say``."""

    def __init__(
        self, say: Callable[[str], None], folder: Path = Path(HOOKS_FOLDER), seconds: float = SECONDS
    ) -> None:
        self._say, self._folder, self._seconds = say, folder, seconds

    def run(self, moment: Moment) -> None:
        """Run those of ``moment`` one after the other, by name; a failed one is told and passed over."""
        for hook in self._found(moment):
            self._say(f"hook {moment}: {hook.name}")
            try:
                said = run.run(
                    [str(hook)], timeout=self._seconds, extra_env={_MOMENT_VARIABLE: str(moment)}
                )
            except (FleetcastError, OSError) as error:
                self._say(f"warning: hook {hook.name}: {getattr(error, 'what', error)}")
                continue
            for line in said.decode(errors="replace").splitlines()[-_MOST_LINES:]:
                self._say(f"hook {hook.name}: {line}")

    def _found(self, moment: Moment) -> list[Path]:
        try:
            return sorted(p for p in (self._folder / f"{moment}.d").iterdir() if p.is_file())
        except OSError:
            return []

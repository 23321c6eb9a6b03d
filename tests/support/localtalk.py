"""Talking with the local dialogue of a program on this host, as a script on a serial console would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from castcore.edge import run

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 120.0


class Talk:
    """A running dialogue: what it says is kept; each wait looks behind what was typed last."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._text, self._at, self._ended = "", 0, False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that was said."""
        with self._news:
            return self._text

    def wait(self, pattern: str, seconds: float = _SECONDS) -> re.Match[str]:
        """What is said of ``pattern`` from where the last wait ended; a failed test if nothing is."""
        with self._news:
            shape = re.compile(pattern)
            self._news.wait_for(lambda: shape.search(self._text, self._at) or self._ended, seconds)
            found = shape.search(self._text, self._at)
            assert found, f"not said: {pattern}\n{self._text[-3000:]}"
            return found

    def answer(self, page: str, line: str) -> None:
        """Wait for ``page``, and type ``line`` and Enter."""
        self.wait(rf"fleetcast: local={page} (?:.*\n)*?.* > ")
        self.type(f"{line}\r")

    def type(self, keys: str) -> None:
        """Press ``keys``."""
        with self._news:
            self._at = len(self._text)
        assert self.process.stdin is not None
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def hang_up(self) -> int:
        """Close its input; the exit code it ends with."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(_SECONDS)
        self._thread.join(10)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self._news:
                self._text += data.decode(errors="replace").replace("\r", "")
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def local_client(
    medium: Path, targets: Sequence[Path], *more: str, prefix: Sequence[str] = ()
) -> Iterator[Talk]:
    """``fleetcast-client local`` on ``medium`` with ``targets``; it is ended with the block.

    ``prefix`` is a command that runs it, in a namespace for instance.
    """
    command = [*prefix, sys.executable, "-m", "castclient", "local", "--medium", str(medium)]
    command += [word for target in targets for word in ("--target", str(target))]
    paths = os.pathsep.join(str(ROOT / part) for part in ("core", "client"))
    with run.started(
        [*command, *more], extra_env={"PYTHONPATH": paths}, merged=True, stdin=subprocess.PIPE
    ) as process:
        yield Talk(process)

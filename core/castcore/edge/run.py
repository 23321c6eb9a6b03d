"""The one door to external programs.

A fixed environment, an argument list (never a shell), a bounded time, and an error that holds a
command line one can paste. Nothing else in Fleetcast imports :mod:`subprocess`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from castcore.errors import FleetcastError, MissingProgram

# Programs we parse must speak one language; sbin is where disk tools live.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ERROR_TAIL = 2000
# What :func:`started` gives; the type has no other name outside.
Process = subprocess.Popen[bytes]


class ProgramFailed(FleetcastError):
    """An external program ended with an error or not at all; ``stderr`` is the end of what it said."""

    def __init__(self, what: str, *, hint: str = "", stderr: str = "", status: int = -1) -> None:
        super().__init__(what, hint=hint)
        self.stderr = stderr
        self.status = status


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The fixed environment of every program we start, with ``extra`` laid over it."""
    kept = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
    return kept | {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"} | dict(extra or {})


def find(program: str) -> str | None:
    """The path of ``program``, or None when it is not installed."""
    return shutil.which(program, path=SEARCH_PATH)


def require(programs: Iterable[str], *, hint: str) -> None:
    """Return when all ``programs`` are installed; else raise MissingProgram naming each missing one."""
    missing = sorted(p for p in programs if find(p) is None)
    if missing:
        raise MissingProgram(f"not installed: {', '.join(missing)}", hint=hint)


def run(
    command: Sequence[str],
    *,
    timeout: float,
    data: bytes | None = None,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
    ok: Sequence[int] = (0,),
) -> bytes:
    """Run ``command`` to its end, at most ``timeout`` seconds; return what it printed.

    ``data`` goes to its standard input; ``stdout`` takes its output instead of returning it.
    Raises MissingProgram, or ProgramFailed when the exit status is not in ``ok``.
    """
    try:
        done = subprocess.run(
            list(command),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            cwd=cwd,
            env=environment(extra_env),
            check=False,
        )
    except FileNotFoundError:
        raise _missing(command) from None
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"`{shlex.join(command)}` did not end within {timeout:g} s") from None
    if done.returncode not in ok:
        raise _failed(command, done.returncode, done.stderr)
    return done.stdout or b""


def run_lines(
    command: Sequence[str],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] | None = None,
) -> None:
    """Run a long ``command``, giving each line it prints (both streams) to ``on_line``.

    Raises MissingProgram, or ProgramFailed with the last lines when it fails.
    """
    tail: list[str] = []
    with started(command, cwd=cwd, extra_env=extra_env, merged=True) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            tail = [*tail[-30:], line]
            on_line(line)
        status = process.wait()
    if status != 0:
        raise _failed(command, status, "\n".join(tail).encode())


@contextmanager
def started(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] | None = None,
    merged: bool = False,
    stdout: IO[bytes] | None = None,
    stdin: int | None = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running ``command``; it is ended (TERM, after 5 s KILL) when the block is left.

    ``merged`` sends standard error where standard output goes.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            cwd=cwd,
            env=environment(extra_env),
        )
    except FileNotFoundError:
        raise _missing(command) from None
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """End ``process`` if it still runs: TERM, and KILL after ``patience`` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _missing(command: Sequence[str]) -> MissingProgram:
    return MissingProgram(
        f"not installed: {command[0]}", hint=f"install the package that has {command[0]}"
    )


def _failed(command: Sequence[str], status: int, stderr: bytes | None) -> ProgramFailed:
    said = (stderr or b"").decode(errors="replace").strip()[-ERROR_TAIL:]
    last = said.splitlines()[-1] if said else "it said nothing"
    return ProgramFailed(
        f"`{shlex.join(command)}` ended with status {status}: {last}", stderr=said, status=status
    )

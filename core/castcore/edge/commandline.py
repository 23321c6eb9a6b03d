"""The frame of every Fleetcast command line: parsing, progress, JSON lines, errors, exit codes.

A command is a module with ``NAME``, ``HELP``, ``EXAMPLE``, ``add_arguments(parser)`` and
``run(args, screen) -> object``; what ``run`` returns is the result, printed as the last JSON line
under ``--json`` and for people by the command itself through ``screen.say``.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol, TextIO, cast

from castcore import __version__
from castcore.edge.relay import Relay
from castcore.errors import ExitCode, FleetcastError
from castcore.progress import Progress
from castcore.units import human

REDRAW_SECONDS = 0.2
JSON_PROGRESS_SECONDS = 1.0
# Of packs alone an image and its bases have hundreds; some programs that we run close every possible
# descriptor one by one, so that this has an end.
MOST_FILES = 1 << 16


class Command(Protocol):
    """What a command module offers."""

    NAME: str
    HELP: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, args: argparse.Namespace, screen: Screen) -> Any:
        """Do the work; return the result as JSON values (or None)."""


class Screen:
    """Where a command speaks: lines for people, or one JSON object a line for machines."""

    def __init__(self, *, as_json: bool, out: TextIO, err: TextIO) -> None:
        self.as_json = as_json
        self._out, self._err = out, err
        self._drawn = 0.0
        self._drawn_lines = 0
        self._started: dict[str, float] = {}

    @contextmanager
    def relayed(self) -> Iterator[TextIO]:
        """Meanwhile nobody who says something here waits for a terminal or pipe that takes nothing.

        Yields standard error as it is relayed, for a log.
        """
        streams = self._out, self._err
        with Relay(self._out) as out, Relay(self._err) as err:
            # A Relay is all of a TextIO that is ever used of one.
            self._out, self._err = cast("TextIO", out), cast("TextIO", err)
            try:
                yield self._err
            finally:
                self._out, self._err = streams

    def say(self, text: str) -> None:
        """A line for people; nothing under ``--json``."""
        if not self.as_json:
            self._close_line()
            print(text, file=self._out, flush=True)

    def warn(self, text: str) -> None:
        """A line on standard error, for both."""
        self._close_line()
        print(f"warning: {text}", file=self._err, flush=True)

    def emit(self, event: dict[str, Any]) -> None:
        """One JSON line under ``--json``; nothing for people."""
        if self.as_json:
            print(json.dumps(event, sort_keys=True), file=self._out, flush=True)

    def progress(self, now: Progress) -> None:
        """Redraw the progress line (terminals) or emit a progress event, not too often."""
        clock = time.monotonic()
        started = self._started.setdefault(now.step, clock)
        final = now.total > 0 and now.done >= now.total
        pause = JSON_PROGRESS_SECONDS if self.as_json else REDRAW_SECONDS
        if not final and clock - self._drawn < pause:
            return
        self._drawn = clock
        if self.as_json:
            event = {"event": "progress", "step": now.step, "done": now.done, "total": now.total}
            self.emit(event | ({"detail": now.detail} if now.detail else {}))
        elif self._err.isatty():
            self._draw(now, max(clock - started, 1e-3))

    @property
    def rows(self) -> int:
        """How many lines the terminal shows at once."""
        return shutil.get_terminal_size().lines

    def block(self, lines: Sequence[str]) -> None:
        """Redraw ``lines`` in place on a terminal, not too often; nothing elsewhere."""
        clock = time.monotonic()
        if self.as_json or not self._err.isatty() or clock - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = clock
        self._redraw(lines)

    def result(self, value: Any) -> None:
        """The last line under ``--json``."""
        self._close_line()
        if value is not None:
            self.emit({"event": "result", **value} if isinstance(value, dict) else {"result": value})

    def failed(self, error: FleetcastError) -> None:
        """The one place that prints an error."""
        self._close_line()
        if self.as_json:
            self.emit(
                {
                    "event": "error",
                    "error": error.what,
                    "hint": error.hint,
                    "exit_code": int(error.exit_code),
                }
            )
        print(f"error: {error.what}", file=self._err)
        if error.hint:
            print(f"  next: {error.hint}", file=self._err, flush=True)

    def _draw(self, now: Progress, seconds: float) -> None:
        rate = now.done / seconds
        if now.total:
            share = min(now.done / now.total, 1.0)
            bar = "#" * int(share * 24)
            text = f"{now.step:<9}[{bar:<24}] {share:4.0%}  {human(now.done)} of {human(now.total)}"
            left = (now.total - now.done) / rate if rate else 0
            text += f"  {human(int(rate))}/s  {int(left // 60)}:{int(left % 60):02d} left"
        else:
            text = f"{now.step:<9}{human(now.done)}"
        self._redraw([f"{text}  {now.detail}"])

    def _redraw(self, lines: Sequence[str]) -> None:
        """Put ``lines`` where the last ones stand; a line that wrapped would spoil the counting."""
        width = shutil.get_terminal_size().columns - 1
        up = f"\x1b[{self._drawn_lines - 1}A" if self._drawn_lines > 1 else ""
        text = "\n".join(line[:width] for line in lines)
        print(f"\r{up}\x1b[J{text}", end="", file=self._err, flush=True)
        self._drawn_lines = len(lines)

    def _close_line(self) -> None:
        if self._drawn_lines:
            print(file=self._err)
            self._drawn_lines = 0


def main(
    program: str, about: str, commands: Sequence[Command], argv: Sequence[str] | None = None
) -> int:
    """Run ``program`` with ``argv`` (default: the process's); return its exit code."""
    args = _parser(program, about, commands).parse_args(argv)
    screen = Screen(as_json=args.json, out=sys.stdout, err=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    _allow_many_files()
    try:
        screen.result(args.command.run(args, screen))
    except FleetcastError as error:
        screen.failed(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        screen.failed(_Interrupted("stopped by the operator"))
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        return int(ExitCode.FAILED)
    except Exception as error:
        traceback.print_exc()
        screen.failed(FleetcastError(f"internal error: {error!r}", hint="please report the lines above"))
        return int(ExitCode.FAILED)
    return int(ExitCode.OK)


def _allow_many_files() -> None:
    """Let this process open as many files as it may; the usual 1024 are for those that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Interrupted(FleetcastError):
    exit_code = ExitCode.INTERRUPTED
    advice = "run it again to go on"


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # TERM must unwind like Ctrl-C, so that every `finally` cleans up behind us.
    raise KeyboardInterrupt


def _parser(program: str, about: str, commands: Sequence[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        sub = subparsers.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.HELP,
            epilog=f"example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument(
            "--json", action="store_true", help="one JSON object a line, the last the result"
        )
        command.add_arguments(sub)
        sub.set_defaults(command=command)
    return parser

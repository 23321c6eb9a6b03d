"""Every way a Fleetcast command can fail, each with its documented exit code.

An error names the object, says what happened, and (``hint``) what to do next. Commands print it in
one place (:mod:`castcore.edge.commandline`); nothing else turns an error into an exit code.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command; the table in ``docs/exit-codes.md`` is tested against this."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    BAD_IMAGE = 4
    DOES_NOT_FIT = 5
    IN_USE = 6
    NO_SPACE = 7
    IO = 8
    NETWORK = 9
    PORT_TAKEN = 10
    MISSING_PROGRAM = 11
    REFUSED = 12
    UNTRUSTED = 13
    INTERRUPTED = 130


class FleetcastError(Exception):
    """Base of all errors a user can meet.

    ``what`` is one sentence naming the object and what happened to it; ``hint`` says what to do next:
    the kind's own ``advice`` unless the place that knows more gives a better one.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    advice: ClassVar[str] = ""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint or self.advice


class NotFound(FleetcastError):
    """A named image, disk, file, interface or server does not exist."""

    exit_code = ExitCode.NOT_FOUND
    advice = "check its name"


class BadImage(FleetcastError):
    """An image is damaged, incomplete, of a newer format, or not an image at all."""

    exit_code = ExitCode.BAD_IMAGE
    advice = "make it again, or copy it again from where it is whole"


class DoesNotFit(FleetcastError):
    """An image cannot be restored to the target; the message holds every reason with both figures."""

    exit_code = ExitCode.DOES_NOT_FIT
    advice = "choose other disks"


class InUse(FleetcastError):
    """A disk is mounted, is swap, or is held by another program; other images borrow from an image."""

    exit_code = ExitCode.IN_USE
    advice = "wait until it is free, or choose another"


class NoSpace(FleetcastError):
    """A file system ran, or would run, full."""

    exit_code = ExitCode.NO_SPACE
    advice = "free some space, or choose another place"


class DiskFailed(FleetcastError):
    """Reading or writing a disk or file failed (EIO, a pulled medium)."""

    exit_code = ExitCode.IO
    advice = "check that it may be read and written, its cable and its health"


class NetworkFailed(FleetcastError):
    """A peer cannot be reached, went away, or answered nonsense."""

    exit_code = ExitCode.NETWORK
    advice = "check the other machine and the network between, then try again"


class Busy(NetworkFailed):
    """A server is there, but has no time for this request now."""

    advice = "try again in a moment"


class PortTaken(FleetcastError):
    """A UDP or TCP port we must listen on belongs to another program."""

    exit_code = ExitCode.PORT_TAKEN
    advice = "stop that program, or choose another port"


class MissingProgram(FleetcastError):
    """One or more external programs are not installed; all missing ones are named at once."""

    exit_code = ExitCode.MISSING_PROGRAM
    advice = "install the packages that tools/packages.txt lists"


class Refused(FleetcastError):
    """The operator did not confirm, or a safety rule forbids the operation."""

    exit_code = ExitCode.REFUSED
    advice = "`--help` tells what the command takes"


class Untrusted(FleetcastError):
    """A signature, key or hash is not the expected one."""

    exit_code = ExitCode.UNTRUSTED
    advice = "find out what changed it before you go on"


class BadPacket(FleetcastError):
    """The only error a malformed or hostile datagram can raise, in any protocol we speak."""

    exit_code = ExitCode.NETWORK
    advice = "check that both sides run the same Fleetcast"

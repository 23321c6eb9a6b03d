"""All that this machine can tell of its run: for the server, and as an archive for a stick. Pure."""

from __future__ import annotations

from castcore import canonical
from castcore.archive import archive
from castcore.control import LOG_SIZE, ClientState, MachineLog, Registration
from castcore.redact import redacted

FOLDER = "fleetcast-logs"


def machine_log(reason: ClientState, kernel: str, journal: tuple[str, ...], about: str) -> MachineLog:
    """What the server gets, without secrets."""
    return MachineLog(reason, _tail(kernel), _tail("\n".join(journal)), _tail(about))


def log_archive(
    kernel: str, journal: tuple[str, ...], about: str, registration: Registration | None
) -> bytes:
    """What goes on a stick, without secrets: a tar.gz."""
    files = {
        "kernel.log": redacted(kernel),
        "journal.log": redacted("\n".join(journal)),
        "about.txt": redacted(about),
    }
    if registration is not None:
        files["machine.json"] = redacted(canonical.encode(registration.to_json()).decode())
    whole = {name: f"{text}\n".encode(errors="replace") for name, text in files.items()}
    return archive(FOLDER, whole)


def _tail(text: str) -> str:
    """The end of ``text``, whole lines, with nothing in it that JSON would have to spell long."""
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in redacted(text))
    if len(clean) <= LOG_SIZE:
        return clean
    return clean[-LOG_SIZE:].partition("\n")[2]
